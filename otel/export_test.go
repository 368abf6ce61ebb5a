package otelpacedhttp

import (
	"context"

	"github.com/pacedhttp/pacedhttp"
)

// SlotAcquired tells the call that ctx is of what a Pace layer tells.
func SlotAcquired(ctx context.Context, i pacedhttp.SlotInfo) { callEvents().SlotAcquired(ctx, i) }
