package redispacer

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	lua "github.com/yuin/gopher-lua"
)

// fakeRedis runs the real script in a Lua of its own, on the bubble's clock: time, the
// network's delays and its losses are exact. It knows the commands the script calls.
type fakeRedis struct {
	redis.UniversalClient // whatever else is called panics

	delay func(call int) (there, back time.Duration) // nil = none
	fail  func(call int) error                       // before the script runs; nil = never
	drop  func(call int) bool                        // the reply is lost after the script ran

	mu     sync.Mutex
	lua    *lua.LState
	fn     *lua.LFunction
	keys   map[string]*fakeKey
	skew   time.Duration // of this server's clock
	loaded bool
	calls  int
	saw    *witness
	ran    func() // called after the script, with mu held
	wrote  int    // the most bytes at once, of the record
	writes int    // commands that write
}

func newFakeRedis(t *testing.T) *fakeRedis {
	t.Helper()
	f := &fakeRedis{lua: lua.NewState(lua.Options{RegistryMaxSize: 1 << 20}), keys: make(map[string]*fakeKey)}
	fn, err := f.lua.LoadString(source)
	if err != nil {
		t.Fatal(err)
	}
	f.fn = fn
	module := f.lua.NewTable()
	f.lua.SetField(module, "call", f.lua.NewFunction(f.call))
	f.lua.SetField(module, "error_reply", f.lua.NewFunction(func(l *lua.LState) int {
		l.RaiseError("%s", l.CheckString(1))
		return 0
	}))
	f.lua.SetGlobal("redis", module)
	binary := f.lua.NewTable()
	f.lua.SetField(binary, "pack", f.lua.NewFunction(pack))
	f.lua.SetField(binary, "unpack", f.lua.NewFunction(unpack))
	f.lua.SetGlobal("struct", binary)
	return f
}

func (f *fakeRedis) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	f.mu.Lock()
	loaded := f.loaded
	f.mu.Unlock()
	if !loaded {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(noScript{})
		return cmd
	}
	return f.Eval(ctx, "", keys, args...)
}

// noScript is recognised by go-redis by its beginning.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT No matching script." }
func (noScript) RedisError()   {}

// Eval does not heed its context, as a client without ContextTimeoutEnabled does not.
func (f *fakeRedis) Eval(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	f.mu.Lock()
	call := f.calls
	f.calls++
	f.loaded = true
	f.mu.Unlock()
	var there, back time.Duration
	if f.delay != nil {
		there, back = f.delay(call)
	}
	time.Sleep(there)
	if f.fail != nil {
		if err := f.fail(call); err != nil {
			cmd.SetErr(err)
			return cmd
		}
	}
	val, err := f.run(keys, args)
	time.Sleep(back)
	if f.drop != nil && f.drop(call) {
		time.Sleep(time.Second)
		err = errors.New("i/o timeout")
	}
	if err != nil {
		cmd.SetErr(err)
	} else {
		cmd.SetVal(val)
	}
	return cmd
}

func (f *fakeRedis) run(keys []string, args []any) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, a := f.lua.NewTable(), f.lua.NewTable()
	for _, key := range keys {
		k.Append(lua.LString(key))
	}
	for _, arg := range args {
		switch v := arg.(type) {
		case int:
			a.Append(lua.LString(strconv.Itoa(v)))
		case int64:
			a.Append(lua.LString(strconv.FormatInt(v, 10)))
		default:
			return nil, errors.New("unexpected argument")
		}
	}
	f.lua.SetGlobal("KEYS", k)
	f.lua.SetGlobal("ARGV", a)
	f.lua.Push(f.fn)
	if err := f.lua.PCall(0, 1, nil); err != nil {
		return nil, err
	}
	got := f.lua.CheckTable(-1)
	f.lua.Pop(1)
	var reply []any
	var numbers []int64
	got.ForEach(func(_, v lua.LValue) { numbers = append(numbers, int64(v.(lua.LNumber))) })
	if f.saw != nil {
		f.saw.record(args, numbers)
	}
	if f.ran != nil {
		f.ran()
	}
	for _, n := range numbers {
		reply = append(reply, n)
	}
	return reply, nil
}

// pack is Redis's struct.pack, for big-endian unsigned numbers.
func pack(l *lua.LState) int {
	var bytes []byte
	for i, size := range sizes(l.CheckString(1)) {
		n := uint64(l.CheckNumber(i + 2))
		for b := size - 1; b >= 0; b-- {
			bytes = append(bytes, byte(n>>(8*b)))
		}
	}
	l.Push(lua.LString(bytes))
	return 1
}

// unpack is Redis's struct.unpack, likewise.
func unpack(l *lua.LState) int {
	format, bytes, at := l.CheckString(1), l.CheckString(2), l.OptInt(3, 1)-1
	all := sizes(format)
	for _, size := range all {
		var n uint64
		for ; size > 0; size, at = size-1, at+1 {
			n = n<<8 | uint64(bytes[at])
		}
		l.Push(lua.LNumber(n))
	}
	l.Push(lua.LNumber(at + 1))
	return len(all) + 1
}

// sizes are those of the numbers in a format such as ">I4I8".
func sizes(format string) []int {
	var all []int
	for _, c := range format {
		if c >= '1' && c <= '8' {
			all = append(all, int(c-'0'))
		}
	}
	return all
}

// A fakeKey is a string that may expire.
type fakeKey struct {
	value   []byte
	expires time.Time // zero = never
}

func (f *fakeRedis) key(name string) *fakeKey {
	k := f.keys[name]
	if k == nil || !k.expires.IsZero() && !time.Now().Before(k.expires) {
		k = &fakeKey{}
		f.keys[name] = k
	}
	return k
}

func (f *fakeRedis) call(l *lua.LState) int {
	if l.CheckString(1) == "TIME" {
		us := time.Now().Add(f.skew).UnixMicro()
		t := l.NewTable()
		t.Append(lua.LString(strconv.FormatInt(us/1e6, 10)))
		t.Append(lua.LString(strconv.FormatInt(us%1e6, 10)))
		l.Push(t)
		return 1
	}
	k := f.key(l.CheckString(2))
	if !strings.HasPrefix(l.CheckString(1), "GET") {
		f.writes++
	}
	switch l.CheckString(1) {
	case "GET":
		if len(k.value) == 0 {
			l.Push(lua.LFalse)
		} else {
			l.Push(lua.LString(k.value))
		}
	case "SET":
		*k = fakeKey{[]byte(l.CheckString(3)), time.Now().Add(time.Duration(l.CheckNumber(5)) * time.Millisecond)}
		l.Push(lua.LTrue)
	case "DEL":
		*k = fakeKey{}
		l.Push(lua.LNumber(1))
	case "GETRANGE":
		from, to := l.CheckInt(3), min(l.CheckInt(4)+1, len(k.value))
		if from >= to {
			l.Push(lua.LString(""))
		} else {
			l.Push(lua.LString(k.value[from:to]))
		}
	case "SETRANGE":
		at, s := l.CheckInt(3), l.CheckString(4)
		if missing := at + len(s) - len(k.value); missing > 0 {
			k.value = append(k.value, make([]byte, missing)...)
		}
		copy(k.value[at:], s)
		f.wrote = max(f.wrote, len(s))
		l.Push(lua.LNumber(len(k.value)))
	case "PEXPIRE":
		ms := float64(l.CheckNumber(3))
		if ms != math.Trunc(ms) || ms <= 0 {
			l.RaiseError("value is not an integer")
		}
		k.expires = time.Now().Add(time.Duration(ms) * time.Millisecond)
		l.Push(lua.LNumber(1))
	default:
		l.RaiseError("unknown command")
	}
	return 1
}

// record is the record of the only quota there is, and nil if there is none.
func (f *fakeRedis) record() *fakeKey {
	for name := range f.keys {
		if !strings.HasSuffix(name, ":line") {
			return f.key(name)
		}
	}
	return nil
}

func (f *fakeRedis) size() int { return len(f.record().value) }

// field is a number of the record's header.
func (f *fakeRedis) field(i int) int64 {
	return int64(binary.BigEndian.Uint64(f.record().value[8*i:]))
}

// epoch returns that of the record.
func (f *fakeRedis) epoch() int64 { return f.field(2) }

// entries are the starts on the record, in order.
func (f *fakeRedis) entries() []granted {
	if record := f.record(); record != nil {
		return entries(record.value)
	}
	return nil
}

func (f *fakeRedis) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.keys)
	f.loaded = false
}
