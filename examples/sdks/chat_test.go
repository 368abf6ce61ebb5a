package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
)

// words are what the models of all vendors answer.
const words = "one two three "

// chats asks a model, and has every other answer streamed. Both functions return what it says.
func chats(whole, streamed func(ctx context.Context, prompt string) (string, error)) program {
	return func(ctx context.Context, call int) error {
		ask := whole
		if call%2 == 1 {
			ask = streamed
		}
		switch text, err := ask(ctx, fmt.Sprint("number ", call)); {
		case err != nil:
			return err
		case text != words:
			return fmt.Errorf("got %q", text)
		}
		return nil
	}
}

// A model is how a vendor's model answers.
type model struct {
	whole  string   // JSON
	begin  []string // the events before the words, which are in a stream in its place
	word   string   // the event of a word, which is its %q
	end    []string // the events after the words
	spoken func()   // called when the words are found; nil for nothing
}

func (m model) answer(w http.ResponseWriter, r *vendor.Request) {
	var asked struct{ Stream bool }
	json.Unmarshal(r.Body, &asked)
	if !asked.Stream {
		time.Sleep(2 * time.Second)
		m.found()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, m.whole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tell := func(event string) {
		io.WriteString(w, event+"\n\n")
		http.NewResponseController(w).Flush()
	}
	for _, event := range m.begin {
		tell(event)
	}
	for word := range strings.FieldsSeq(words) {
		time.Sleep(500 * time.Millisecond)
		tell(fmt.Sprintf(m.word, word+" "))
	}
	m.found()
	for _, event := range m.end {
		tell(event)
	}
}

func (m model) found() {
	if m.spoken != nil {
		m.spoken()
	}
}
