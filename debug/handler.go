package debug

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
)

// Handler returns a handler that shows sources, pacers before keyed ones, each in their order: a page, or JSON where the request's
// Accept prefers application/json to text/html or its query says format=json. It does not look at
// the path. It is safe for concurrent use.
//
// It answers GET and HEAD, and 405 to other methods. Nothing that it answers is stored by caches,
// read by other origins, or framed.
func Handler(sources ...Source) http.Handler {
	return &handler{sources: slices.Clone(sources), secret: newSecret()}
}

type handler struct {
	sources []Source
	secret  []byte
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", policy)

	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	kind := negotiate(r.Header["Accept"], textHTML, applicationJSON)
	if r.URL.Query().Get("format") == "json" {
		kind = applicationJSON
	}
	var body bytes.Buffer
	var err error
	switch kind {
	case textHTML:
		header.Set("Content-Type", textHTML+"; charset=utf-8")
		err = writePage(&body, h.look())
	case applicationJSON:
		header.Set("Content-Type", applicationJSON)
		err = writeJSON(&body, h.look())
	default:
		http.Error(w, "only "+textHTML+" and "+applicationJSON, http.StatusNotAcceptable)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method != http.MethodHead {
		body.WriteTo(w)
	}
}
