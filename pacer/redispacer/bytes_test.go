package redispacer

import (
	"bytes"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// Where there is no struct, the script packs numbers by itself, and to the same bytes.
func TestNumbersArePackedAlikeWithoutStruct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with, without := newFakeRedis(t), newFakeRedis(t)
		without.lua.SetGlobal("struct", lua.LNil)
		limits := []pacer.Limit{{Calls: 3, Period: time.Second}, {Cost: 1e9, Unit: "tokens", Period: time.Second}}
		a, b := newScripted(t, with, 1, limits...), newScripted(t, without, 1, limits...)
		for i := range 5 {
			req := request{wanted: [][]int{{3e8 + i}}}
			if got, want := b.run(req), a.run(req); !reflect.DeepEqual(got, want) {
				t.Errorf("without struct the answer is %+v, with it %+v", got, want)
			}
			time.Sleep(100 * ms)
		}
		if got, want := without.record().value, with.record().value; !bytes.Equal(got, want) {
			t.Errorf("without struct the record is %x, with it %x", got, want)
		}
	})
}
