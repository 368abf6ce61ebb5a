package pacer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// When a child's turn passes to a call for which the child itself has no room yet, whoever comes
// next above learns of it.
func TestAChildThatLosesItsRoomLetsOthersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := pacerOf(t, pacer.Limit{Calls: 1, Period: 10 * time.Second})
		mid := pacerWith(t, pacer.Config{Parent: root, Limits: []pacer.Limit{tokenLimit(100)}})
		leaf := pacerWith(t, pacer.Config{Parent: mid, Limits: []pacer.Limit{{Calls: 1, Period: 25 * time.Second}}})
		slotOf(t, leaf, costing(t, 20))
		acquires(mid, costing(t, 20))             // starts at 10 s
		acquires(root, costing(t, 1))             // at 20 s
		cheap, _ := acquires(mid, costing(t, 1))  // stands for mid, for 30 s, until leaf has room
		dear, _ := acquires(leaf, costing(t, 90)) // then this does, and mid has no room for it
		next, _ := acquires(root, costing(t, 1))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if next() == nil || cheap() != nil || dear() != nil {
			t.Errorf("next, cheap and dear have started: %t, %t, %t", next() != nil, cheap() != nil, dear() != nil)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if cheap() == nil || dear() == nil {
			t.Error("the others have not started")
		}
	})
}
