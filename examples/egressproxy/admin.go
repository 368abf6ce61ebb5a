package main

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// newMetrics returns what the admin port shows to Prometheus: the meters of the provider, and the process.
func newMetrics() (*sdkmetric.MeterProvider, http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), handler, nil
}

// admin serves those who look after the proxy. None of it is for the proxy's own clients.
func (p *Proxy) admin(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if p.leaving.Load() {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) { p.table.Load().status.ServeHTTP(w, r) })
	return mux
}

// reload applies what load reads. What becomes of it is logged.
func (p *Proxy) reload(load func() (*Config, error)) {
	cfg, err := load()
	var restarts []string
	if err == nil {
		restarts, err = p.apply(cfg)
	}
	if err != nil {
		p.log.Error("reload refused: all is as it was", "error", err)
		return
	}
	for _, what := range restarts {
		p.log.Warn("takes a restart to change: it is as it was", "setting", what)
	}
	p.log.Info("reloaded", slog.Int("upstreams", len(cfg.Upstreams)))
}
