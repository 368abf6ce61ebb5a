// Package quota reads what servers say of their rate limits in the headers of a response:
// [Read] how much is left, [RetryAfter] when to retry. Both are pure functions of
// a header and a moment; they are safe for concurrent use, never panic, and take what is
// illegible for absent.
//
// # Dialects
//
// There is no standard yet, so each header is read as its vendor documents it. Names are
// as vendors write them; case does not matter to HTTP.
//
//	vendor            header                                  meaning, and where it goes         example
//	IETF, draft 8-11  RateLimit                               a list: Name;r=Remaining;t=Reset,  "hour";r=50;t=30
//	                                                          with pk= for each partition
//	                  RateLimit-Policy                        the same Name's q=Limit;w=Window,  "hour";q=100;w=3600
//	                                                          and its Unit qu
//	IETF, draft 7     RateLimit                               a dictionary                       limit=100, remaining=50, reset=5
//	                  RateLimit-Policy                        Limit;w=Window                     100;w=10
//	IETF, draft 0-6   RateLimit-Remaining, -Limit, -Reset     Limit may have the Window          100, 100;w=10
//	Docker Hub        RateLimit-Remaining                     it has the Window too              76;w=21600
//	GitHub            X-RateLimit-Remaining, -Limit, -Reset   Reset is a Unix time               1372700873
//	                  X-RateLimit-Resource                    Name                               search
//	GitLab            RateLimit-Reset, -ResetTime             a Unix time, an HTTP date          1609844400
//	                  RateLimit-Name                          Name                               throttle_authenticated_web
//	Reddit            X-RateLimit-Remaining, -Reset           fractions; Reset in seconds        596.0
//	X, Okta           X-Rate-Limit-Remaining, -Limit, -Reset  Reset is a Unix time               1609459200
//	X                 X-User-Limit-24hour-Remaining, …        Name "user-24hour", Window a day   99
//	Zendesk           X-Rate-Limit-Remaining, X-Rate-Limit    the second is the Limit            700
//	OpenAI, Groq      X-RateLimit-Remaining-Requests, …       Reset is a duration                6m0s, 12ms
//	                  X-RateLimit-Remaining-Tokens, …         Unit "tokens"                      149984
//	Anthropic         Anthropic-RateLimit-Requests-           Reset is an RFC 3339 date          2026-06-15T12:00:20Z
//	                  Remaining, -Limit, -Reset
//	                  … -Tokens-, -Input-Tokens-,             Unit "tokens", "input-tokens",     80000
//	                  -Output-Tokens-…                        "output-tokens"
//	Cerebras, Kong    X-RateLimit-Remaining-Minute, …         Name "minute", and its Window      9
//	HubSpot           X-HubSpot-RateLimit-Remaining, -Max     Max is the Limit                   98
//	                  X-HubSpot-RateLimit-Daily-Remaining     Name "daily", and its Window       249983
//	Linear            X-RateLimit-Complexity-Remaining, …     Unit "complexity"; Reset in ms     1781528400000
//	RapidAPI          X-RateLimit-Requests-Remaining, …       Name "requests"                    9412
//	Discord           X-RateLimit-Remaining, -Reset-After     seconds with a fraction            64.57
//	                  X-RateLimit-Bucket, -Global, -Scope     Name; "global" where it is         abcd1234
//	Brave             X-RateLimit-Remaining, -Limit, -Reset   lists of equal length; Names are   1, 1000
//	                                                          the places "1" and "2"
//	Shopify           X-Shopify-Shop-Api-Call-Limit           used/Limit                         32/40
//	Azure             X-Ms-RateLimit-Remaining-…              Name: the rest of the header's     11999
//	                  X-Ms-RateLimit-Remaining-Resource       a list of Name;Remaining           Microsoft.Compute/HighCostGet3Min;46
//	                  Retry-After-Ms, X-Ms-Retry-After-Ms     milliseconds                       900
//	AWS               X-Amz-Retry-After                       milliseconds                       5000
//	gRPC              Grpc-Retry-Pushback-Ms                  milliseconds; below 0: not again   1500
//	all               Retry-After                             seconds or a date                  120
//
// Whoever follows one of these patterns is read too: for every header with "Remaining" and
// "Limit" or "RateLimit" in its name, the headers that have Limit, Reset, Reset-After,
// ResetTime or Policy in the place of Remaining belong to it. The other words of the name
// are the Name, but for units (tokens, points, credits, bytes, characters, complexity),
// which are the Unit. A Limit of -1 says that there is none, and then there is no State.
//
// # Repeated headers
//
// All values of a header count, those of several lines like those of a list in one line.
// The strictest wins: the least Remaining, the least Limit, the longest Reset and the
// longest delay.
//
// # Moments and durations
//
// Servers send a delay or a moment under one name, so the value must tell. A plain number
// may have a fraction; it is a Unix time from 10⁸ on in a Reset, from 10⁹ on in a
// Retry-After (as seconds that would be 31 years) and from 10¹² on in a header of
// milliseconds, and less is a delay in the header's unit. A Unix time is in seconds below
// 10¹¹, in milliseconds from there, in microseconds from 10¹⁴ and in nanoseconds from 10¹⁷.
// Reset-After is always a delay. A number with a unit (6m0s, 1.5s, 1d2h) is a delay; an HTTP
// date, the dates of RFC 3339 and RFC 5322 and the forms in which Go, JavaScript and Ruby
// print a date are moments. Delays in milliseconds that a server sends as a plain Reset
// cannot be told from seconds.
//
// A moment is measured on the Date of the response, because that is the server's clock
// too, if it is within five minutes of ours or makes the wait longer; else on ours. So a
// Date that is far ahead undoes no wait. Of several the earliest counts.
package quota
