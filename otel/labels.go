package otelpacedhttp

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Attribute keys of our own.
const (
	keyAttempts       = attribute.Key("pacedhttp.attempts")
	keyPacingWait     = attribute.Key("pacedhttp.pacing.wait.duration")
	keyPacingCost     = attribute.Key("pacedhttp.pacing.cost") // and the unit
	keyPacingInFlight = attribute.Key("pacedhttp.pacing.in_flight")
	keyPacingFallback = attribute.Key("pacedhttp.pacing.fallback")
	keyRetryDelay     = attribute.Key("pacedhttp.retry.delay")
	keyReason         = attribute.Key("pacedhttp.reason")
	keyFallbackUsed   = attribute.Key("pacedhttp.fallback.used")
	keyPacingResult   = attribute.Key("pacedhttp.pacing.result")
	keyDenialReason   = attribute.Key("pacedhttp.retry.denial.reason")
	keyPacerName      = attribute.Key("pacedhttp.pacer.name")
	keyPacerState     = attribute.Key("pacedhttp.pacer.state")
	keyLimitName      = attribute.Key("pacedhttp.pacer.limit.name")
	keyLimitUnit      = attribute.Key("pacedhttp.pacer.limit.unit")
)

// labels are the attributes of a measurement. What is zero is left out.
type labels struct {
	origin
	method       string
	status       int
	errorType    string
	protocol     string
	fallback     bool
	pacingResult string
	denialReason string
}

func (l *labels) set() attribute.Set {
	attrs := make([]attribute.KeyValue, 0, 6)
	text := func(key attribute.Key, value string) {
		if value != "" {
			attrs = append(attrs, key.String(value))
		}
	}
	number := func(key attribute.Key, value int) {
		if value != 0 {
			attrs = append(attrs, key.Int(value))
		}
	}
	text(semconv.ServerAddressKey, l.address)
	number(semconv.ServerPortKey, l.port)
	text(semconv.HTTPRequestMethodKey, l.method)
	number(semconv.HTTPResponseStatusCodeKey, l.status)
	text(semconv.ErrorTypeKey, l.errorType)
	text(semconv.NetworkProtocolVersionKey, l.protocol)
	if l.fallback {
		attrs = append(attrs, keyFallbackUsed.Bool(true))
	}
	text(keyPacingResult, l.pacingResult)
	text(keyDenialReason, l.denialReason)
	return attribute.NewSet(attrs...)
}

// measured are labels in the forms that instruments take. Building them sorts and hashes,
// which costs more than a measurement.
type measured struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

func newMeasured(l labels) measured {
	set := metric.WithAttributeSet(l.set())
	return measured{[]metric.RecordOption{set}, []metric.AddOption{set}}
}
