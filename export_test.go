package pacedhttp

import "net/http"

// Discard is what the Retry layer does with a response that it will not deliver.
func Discard(resp *http.Response) {
	last := setAside(resp, nil)
	last.forget()
}
