package sdks

import (
	"encoding/json"
	"net/http"
)

// promptTokens estimates the tokens of what is asked, at four characters each.
func promptTokens(req *http.Request) int { return int(req.ContentLength) / 4 }

// answerTokens estimates those of the answer: as many as the named field of the JSON body allows.
// What it really was is for the program to settle.
func answerTokens(field string) func(*http.Request) int {
	return func(req *http.Request) int {
		const unsaid = 4096
		if req.GetBody == nil {
			return unsaid
		}
		body, err := req.GetBody()
		if err != nil {
			return unsaid
		}
		defer body.Close()
		var asked map[string]json.RawMessage
		most := unsaid
		if json.NewDecoder(body).Decode(&asked) == nil {
			json.Unmarshal(asked[field], &most)
		}
		return most
	}
}
