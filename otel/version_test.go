package otelpacedhttp_test

import (
	"os"
	"strings"
	"testing"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

// All modules of a release have one version, so that of the root in go.mod is this module's too.
func TestVersionIsThatOfTheModule(t *testing.T) {
	goMod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/pacedhttp/pacedhttp v" + otelpacedhttp.Version + "\n"; !strings.Contains(string(goMod), want) {
		t.Errorf("go.mod does not require %s", want)
	}
}
