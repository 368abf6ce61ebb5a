package redispacer

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// readEvery is how often a cluster's topology is read while the cluster cannot be used.
const readEvery = 250 * time.Millisecond

// A clusterClient is a [redis.ClusterClient]. By itself it reads the topology once a minute, and when
// a node refers it to another, which a lost one does not. Its ReloadState would not do: as long as
// one reading waits for a node that does not answer, 5 to 25 s, it begins no other.
// ForEachMaster always reads, from nodes in random order.
type clusterClient interface {
	ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
}

// readTopology has a cluster's client look where the slots are now, at once and again as long as a
// probe is on its way. It needs the queue's lock.
func (r *remote) readTopology() {
	cluster, ok := r.script.rdb.(clusterClient)
	if !ok || r.trips.reading {
		return
	}
	r.trips.reading = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), coldTimeout)
		defer cancel()
		_ = cluster.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil }) // the next may fare better
	}()
	time.AfterFunc(readEvery, func() {
		r.queue.Lock()
		defer r.queue.Unlock()
		r.trips.reading = false
		if r.health.probing {
			r.readTopology()
		}
	})
}
