package otelpacedhttp

// ScopeName is the instrumentation scope of the spans and metrics.
const ScopeName = "github.com/pacedhttp/pacedhttp/otel"

// Version is the version of the instrumentation scope: that of the module.
const Version = "0.1.0"
