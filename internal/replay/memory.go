package replay

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// A memory is a body in memory whose GetBody gives another reader of the same. It is
// handed on as it is, because by its type net/http knows that it can send it in one
// write with the head. Attempts share no reader, nothing of it blocks, and closing it does
// nothing, so there is nobody to cut off and nothing to close.
type memory struct {
	getBody func() (io.ReadCloser, error)
	length  int64
	next    io.ReadCloser // the next attempt's
	spare   io.ReadCloser // that of the attempt after it, if it was asked for already
}

// newMemory returns nil for a body that must be watched: net/http does not know its type,
// its length is not what the request says, or GetBody gives the same reader again, which
// an earlier attempt may still be reading.
func newMemory(req *http.Request) *memory {
	m := &memory{getBody: req.GetBody, length: req.ContentLength, next: req.Body}
	body := inMemory(req.Body)
	if body == nil || m.length > 0 && int64(body.Len()) != m.length {
		return nil
	}
	spare, err := req.GetBody()
	if err != nil || spare == nil {
		return nil // to be met with when there is need of it
	}
	if other := inMemory(spare); other == nil || other == body {
		_ = spare.Close()
		return nil
	}
	m.spare = spare
	return m
}

func (m *memory) attach(out *http.Request) { out.Body = m.next }

func (m *memory) replayable() bool { return true }

func (m *memory) rewind() error {
	body := m.spare
	if m.spare = nil; body == nil {
		var err error
		if body, err = getCopy(m.getBody); err != nil {
			return err
		}
	}
	reader := inMemory(body)
	switch {
	case reader == nil:
		_ = body.Close()
		return &bodyError{fmt.Errorf("pacedhttp: GetBody gave a body in memory once and then a %T", body)}
	case m.length > 0 && int64(reader.Len()) > m.length:
		return tooLong(m.length)
	case m.length > 0 && int64(reader.Len()) < m.length:
		return tooShort(int64(reader.Len()), m.length)
	}
	m.next = body
	return nil
}

func (m *memory) close() {}

func (m *memory) retire() {}

// A reader in memory knows how much there is left to read.
type memoryReader interface {
	io.Reader
	Len() int
}

var (
	nopCloser   = reflect.TypeOf(io.NopCloser(nil))
	nopWriterTo = reflect.TypeOf(io.NopCloser(new(bytes.Reader)))
)

// inMemory returns the reader behind body that net/http knows to be in memory, through an
// io.NopCloser as http.NewRequest makes it, or nil.
func inMemory(body io.ReadCloser) memoryReader {
	if t := reflect.TypeOf(body); t != nopCloser && t != nopWriterTo {
		return nil
	}
	switch r := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Reader:
		return r
	case *bytes.Buffer:
		return r
	case *strings.Reader:
		return r
	}
	return nil
}
