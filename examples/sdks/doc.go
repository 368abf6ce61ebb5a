// Package sdks shows how the SDKs of well-known APIs are wired to pacedhttp: one file an SDK, and
// in its test a fake of the vendor's API that enforces the limits which the vendor documents.
//
// The rule is short. An SDK that retries keeps its retryer and gets
// [github.com/pacedhttp/pacedhttp.Pace] alone beneath, so that its retries take slots too. An
// SDK that does not retry gets [github.com/pacedhttp/pacedhttp.Retry] as well. The README has a
// table of which does what, how the pacers are configured, and what came of it.
package sdks

// attempts are those of an SDK that keeps its retryer, more than the usual three: while a service
// is down the pacer lets one request at a time try whether it still is, and three attempts would
// soon be used up on that.
const attempts = 10
