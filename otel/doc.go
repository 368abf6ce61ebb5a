// Package otelpacedhttp shows in OpenTelemetry traces and metrics what rate limiting and
// retries did to an HTTP call. It lives in a folder named otel but is not named otel, because
// a second package otel in one file does not compile; import it as
//
//	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
//
// [Instrumentation.Call] goes outermost into the chain and makes one INTERNAL span
// of the whole call; [Instrumentation.Attempt] goes innermost and makes one CLIENT span
// of every send:
//
//	pacedhttp.call                      what the caller got and how long it took
//	 ├ GET                       503    one try
//	 └ GET, resend_count 1       200    and the next
//
//	tel := otelpacedhttp.New()
//	client := pacedhttp.New(nil,
//		tel.Call,
//		pacedhttp.Retry(nil),
//		pacedhttp.Pace(pacer.Drip(5, time.Second)),
//		tel.Attempt,
//	).Client()
//
// Each layer also works alone. Whoever prefers otelhttp for the attempts uses its
// transport as the base with [WithoutAttemptTelemetry], and [ResendCount] for what
// otelhttp does not know.
//
// # Spans
//
// The attempt spans follow the semantic conventions for HTTP client spans, v1.43.0
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/). They last from the
// send, after the wait for a slot, to the response headers or the error. What is known of
// the slot is told to samplers too:
//
//	pacedhttp.pacing.wait.duration   double  seconds spent waiting for it
//	pacedhttp.pacing.cost.<unit>     int     its cost, as known before the send, in each unit that a limit of the pacer
//	                                         counts in, such as pacedhttp.pacing.cost.tokens; at most 16 units
//	pacedhttp.pacing.in_flight       int     requests in flight then, this one included, where the pacer bounds them
//	pacedhttp.pacing.fallback        bool    true where a shared pacer's limits could not be reached, so that its fallback
//	                                         let the request start; else absent
//
// Cost, flights and fallback need a Call layer above. The call span bears the server's address
// and attributes under pacedhttp only, so that nothing counts it as another request:
//
//	pacedhttp.attempts               int     requests sent, as Attempt layers count them, or Retry layers where there are none
//	pacedhttp.pacing.wait.duration   double  seconds spent waiting for slots
//	pacedhttp.pacing.fallback        bool    true where it is for one of the slots
//	pacedhttp.retry.delay            double  seconds spent in backoff; absent without retries
//	pacedhttp.reason                 string  why a failed call was not tried again: a retrypolicy.Reason, or the refusal
//	                                         of the pacer, such as pacing_queue_full
//	pacedhttp.fallback.used          bool    true; absent where there was no need
//
// A span that the caller's own cancellation ended is no error. Any other error sets
// error.type: "timeout", what the error's method ErrorType returns (a retrypolicy.Reason,
// "pacing_deadline", "pacing_queue_full" …), or the error's Go type. No span holds user
// information or the query values that the conventions call sensitive.
//
// # Metrics
//
// Those of calls and attempts have server.address and server.port; none has a path, a query or a header.
//
//	http.client.request.duration            s         each attempt; as in the conventions
//	pacedhttp.call.duration                 s         each call: http.request.method, error.type, pacedhttp.fallback.used
//	pacedhttp.call.retries                  {retry}   retries of a call that had any: http.request.method
//	pacedhttp.call.retry_delay              s         their backoff in all: http.request.method
//	pacedhttp.pacing.request.time_in_queue  s         each wait for a slot: pacedhttp.pacing.result
//	pacedhttp.pacing.request.queued         {request} waiting now
//	pacedhttp.retry.denials                 {retry}   failures that were not tried again: pacedhttp.retry.denial.reason,
//	                                                  which has the values of pacedhttp.reason
//	pacedhttp.fallbacks                     {fallback} fallbacks asked: error.type where they failed; none that the caller cut off
//	pacedhttp.pacing.pauses                 {pause}   pauses that an answer began or lengthened: http.response.status_code of that,
//	                                                  or error.type where there was none
//
// [Instrumentation.ObservePacer] shows the numbers of a pacer, whatever it paces, whenever metrics
// are collected. These have pacedhttp.pacer.name and no server. Those of a limit have
// pacedhttp.pacer.limit.name, as [pacer.Limit.String] writes it, and pacedhttp.pacer.limit.unit where it
// counts cost:
//
//	pacedhttp.pacer.waiting     {caller}  in the queue
//	pacedhttp.pacer.in_flight   {slot}    not done; absent until there is one, so always where flights are not bounded
//	pacedhttp.pacer.used        {unit}    of each limit: starts or cost in its window, or drawn from its bucket; may exceed it
//	pacedhttp.pacer.limit       {unit}    each limit: what its window allows, or the size of its bucket
//	pacedhttp.pacer.state       1         1 for the state that the pacer is in and 0 for the others: pacedhttp.pacer.state is
//	                                      flowing, paused, probing or down, as [pacer.State] says
//	pacedhttp.pacer.paused_for  s         until the end of the pause; 0 without one
//
// A pacer that shares its limits with other processes, as one of package redispacer does, also has
//
//	pacedhttp.pacer.fallback     {start}       starts that its fallback let happen
//	pacedhttp.pacer.lost         {start}       reserved starts neither used nor given back
//	pacedhttp.pacer.round_trips  {round_trip}  begun
//	pacedhttp.pacer.failures     {round_trip}  of these, failed or not answered in time
//
// # Environment
//
// OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS replaces the list of known methods; [New] reads
// it.
package otelpacedhttp
