// Package pacer is a rate limiter for clients: calls, and what retries them, start only as
// fast as a quota allows.
//
// Most callers want [Burst] or [Drip] and [Pacer.Wait]:
//
//	p := pacer.Burst(5, time.Second)
//	for _, job := range jobs {
//		if err := p.Wait(ctx); err != nil {
//			return err
//		}
//		job.Run()
//	}
//
// What an API limits beyond that is a field of [Config], and what happens to a request
// after its start is told to its [Slot], which [Pacer.Acquire] returns:
//
//	the API says                         Config                                           the caller
//	20 requests a second                 Limits: {Calls: 20, Period: time.Second}         Wait
//	one request every 50 ms              the same with Even: true                         Wait
//	a bucket of 40, 2 a second back      {Calls: 2, Period: time.Second, Bucket: 40}      Wait
//	90,000 tokens a minute               {Cost: 90_000, Unit: "tokens",                   WithCost, Acquire,
//	                                     Period: time.Minute}                             Slot.Settle
//	100 requests at once                 MaxInFlight: 100                                 Acquire, Slot.Done
//	429, ask again in 30 s               -                                                Acquire, Slot.Report
//	remaining: 17, reset in 30 s         -                                                Acquire, Slot.Report
//
// All of them may stand in one Config, and hold at once in one queue: a start is recorded
// in every limit at one moment or in none. What a Config does not use costs nothing.
// [ParseLimits] reads limits as people write them: "20/s, 90000 tokens/min".
//
// # What a Pacer guarantees
//
// Strict windows: no window of length Period, wherever it begins, contains more
// than Calls starts. A start is the moment at which Wait decides to return,
// read on the monotonic clock. A token bucket lets up to 2·Calls−1 through in
// such a window, and a counter that is reset every Period 2·Calls.
//
// One queue: callers are served in order of arrival. Only the caller at the head
// keeps time; when it leaves, with its slot or without, it wakes the next. A
// caller who gives up costs nothing: those behind move up and no slot is lost. The head
// is never overtaken by cheaper ones, so one that costs 900 of 1,000 gets its turn. A
// retry keeps its call's place by [WithArrival].
//
// Even spacing: [Drip] and Limit.Even put starts on a grid, Period/Calls apart.
// A start that is late by less than that leaves the grid in place, so the rate
// does not creep; a later one begins a new grid, so missed slots are never fired
// in a bunch. Strict windows come first: where a late start would make a window
// too full one Period later, that later start waits and the grid goes with it. The
// fewer the Calls the more starts that concerns: with Calls 1 every one, so that all
// lateness stays.
//
// Buckets: no window of length t holds more than Bucket + t·Calls/Period starts, or
// cost. That is what AWS, Shopify and Stripe enforce, said as they say it.
//
// Costs: no window holds starts that together cost more than the limit, at the costs
// known by then. A call that costs more than the limit itself is refused at once.
// Settling to less makes room in that start's own place in time and wakes the head;
// settling to more counts the excess from now.
//
// A tree: with Config.Parent a start happens in all pacers up the tree at one moment or in none.
// Only a child's first caller waits at the Parent, so a child that is paused, slow or long holds
// up no other, and children share it by Weight. Nobody foresees who will come to other children:
// when their starts have taken the time of a child's first caller it is refused at once, but for
// the sake of costs maybe only at its deadline. See Several quotas.
//
// In flight: at most MaxInFlight slots are granted and not Done. The head waits for its
// windows and for room in flight at once, so no permit is held while waiting for quota.
//
// What servers say: until a quota's reset no more starts, or costs, than the newest start's
// answer said are left, less what started since. That lowers what the Config allows and never
// raises it. Where nothing is left everybody waits for the reset, and no probe is sent then.
// Of requests that overtook each other it counts which the server answered last, so that what
// the others will use is not spent twice. See [Slot.Report].
//
// Nobody waits for nothing: a caller whose deadline or MaxWait cannot be kept is refused
// at once, with the predicted wait. So is one who waits, when a pause, a settlement to more,
// what a server says of its quotas, or a retry that goes before it takes its time away; what
// starts that come late take away is noticed when it is at the head. The prediction is exact
// where nothing but windows, and what servers say of starts, decides. Where costs or flights do,
// it is a moment before which the caller cannot start, so that a refusal is never wrong: at
// the limits, costs and quotas known then, the caller could not have started in time unless
// something was given back or a server said that more is left.
//
// States: what holds callers back beside the limits. Stats tells the [State] and its cause, and
// [Pacer.Resume] goes back to flowing from any.
//
//	state    entered by                          callers                              left by
//	flowing  the start                           start as the limits allow            a pause, an outage
//	paused   a report of throttling, PauseUntil  wait, at most MaxPause: ErrPaused    its end: to probing
//	probing  the end of a pause, or of an outage start one by one, doubling as they   a limit that holds the head,
//	                                             work; those of Wait need no probe    or enough that worked
//	down     Outage.After failures in a row      wait behind one probe at a time; or  a probe that works: to
//	                                             ErrDown, after MaxPause or Refuse    probing
//
// In each of them only reports of starts made since the pause or outage count; an older one's
// delay lengthens a pause. While probing, a start that is silent for a second counts as one that
// worked; after an outage it counts no more after ten seconds. Where ten seconds have gone by since
// a probe of an outage was due, a caller of Wait or Allow starts in its place, and that is the end of
// being down. A quota that is used up shows as paused, and ends without a probe.
//
// Precision: on Linux starts are within some microseconds of their slot where
// the runtime's timer alone would be up to a millisecond late. The head spins at
// most 200 µs per start for that. Config.Coarse turns it off.
//
// A Pacer is made by [New], [Must], [Burst] or [Drip], is safe for concurrent use, and
// has no goroutine of its own: there is nothing to close.
//
// # Several quotas
//
// Limits that hold for the same calls are one pacer with several Limits. Where calls differ:
//
//   - One quota within another, a host's within the account's, a tenant's within the API's, or
//     shares of one, people before batch: a tree, by Config.Parent. A [Keyed] makes the children.
//     A child without Limits only shares.
//   - Quotas that have nothing to do with each other, a pacer per host or per token: a Keyed,
//     and for HTTP PaceBy of package pacedhttp.
//   - Quotas that cross, per user and per model, are no tree. They are two pacers asked one
//     after the other, which are two waits: the first slot is spent while its holder waits for
//     the second, and what then starts is bunched as the second lets it. Ask first that which is
//     waited for most; where it is the only one that is waited for, both hold.
//
// # Traps
//
//   - Where MaxInFlight is set, Wait fails and Allow answers false: neither could say when
//     the request is over.
//   - A slot that is never Done is lost to all others for good. Stats.OldestInFlight shows it.
//     A slot without a Report means nothing.
//   - Of Done and Cancel the first counts; Done twice is Done once. Settle works after Done,
//     not after Cancel, and says false for a negative cost or a unit that no limit counts in.
//   - Methods on a nil or zero Slot do nothing: defer slot.Done() may stand before the
//     error check.
//   - Where an API has several quotas, and one is used up, all callers of its pacer wait: nobody
//     knows before which one a request is for. Give what is used up often a pacer of its own.
//   - With Outage report also what worked: no outage ends by the silence of its probes.
//   - A cost or an arrival on a program's context is that of every call. Put it on the
//     context of one call.
//   - Limits that contradict themselves are errors of New: Calls and Cost, Cost without Unit,
//     Even with Bucket.
package pacer
