package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "API Priority and Fairness": 10 seats of a priority level, and no queue; "EventRateLimit": 50
// writes a second from a bucket of 100.
var kubernetesContest = contest{
	sdk: "client-go", call: "POST a config map", calls: 150, workers: 20, limits: "50/s bucket 100", inFlight: 10,
	api: kubernetesAPI,
	alone: func(base http.RoundTripper) program {
		return configMaps(must(core.NewForConfig(cluster(base))))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		short := pacer.Must(quota)
		return configMaps(must(core.NewForConfig(sdks.Kubernetes(short, short, cluster(base)))))
	},
}

// cluster is the config of a program, with a transport on which all API servers are a fake.
func cluster(base http.RoundTripper) *rest.Config {
	return &rest.Config{Host: "http://cluster.example", Transport: base}
}

// configMaps are created.
func configMaps(client core.ConfigMapsGetter) program {
	return func(ctx context.Context, call int) error {
		_, err := client.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("number-", call)},
		}, metav1.CreateOptions{})
		return err
	}
}

func kubernetesAPI(limits []pacer.Limit) *vendor.API {
	say := func(w http.ResponseWriter, status int, reason metav1.StatusReason) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, status)
	}
	return &vendor.API{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, _ vendor.Refusal) {
			say(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			say(w, http.StatusInternalServerError, metav1.StatusReasonServerTimeout) // etcd elects a leader, say
		},
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Query().Get("watch") != "" {
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			time.Sleep(100 * time.Millisecond)
			fmt.Fprint(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"number"}}`)
		},
	}
}

func TestKubernetesWatchTakesNoFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := vendor.Serve(kubernetesAPI(nil))
		defer stop()
		long := pacer.Burst(50, time.Second)
		short := pacer.Must(pacer.Config{Parent: long, MaxInFlight: 1})
		client := must(core.NewForConfig(sdks.Kubernetes(short, long, cluster(base))))
		for range 2 {
			watch, err := client.ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
		}
		began := time.Now()
		if err := configMaps(client)(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("a call beside the watches took %v, want 100ms", took)
		}
		if all, of := long.Stats().Granted, short.Stats().Granted; all != 3 || of != 1 {
			t.Errorf("%d slots, %d of them short, want 3 and 1", all, of)
		}
	})
}

func TestKubernetesOwnLimitHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := vendor.Serve(kubernetesAPI(nil))
		defer stop()
		quota := pacer.Burst(50, time.Second)
		create := configMaps(must(core.NewForConfig(sdks.Kubernetes(quota, quota, cluster(base)))))
		began := time.Now()
		for call := range 20 {
			if err := create(t.Context(), call); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("20 calls of 100ms took %v", took)
		}
	})
}

func ExampleKubernetes() {
	limits, err := pacer.ParseLimits("50/s bucket 100")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(kubernetesAPI(limits))
	defer stop()
	cfg := &rest.Config{Host: "http://cluster.example", Transport: base} // in your program: rest.InClusterConfig

	all := pacer.Must(pacer.Config{Limits: limits, Outage: &pacer.Outage{}})
	short := pacer.Must(pacer.Config{Parent: all, MaxInFlight: 10})
	client, err := core.NewForConfig(sdks.Kubernetes(short, all, cfg))
	if err != nil {
		panic(err)
	}
	watch, err := client.ConfigMaps("default").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		panic(err)
	}
	defer watch.Stop()
	_, err = client.ConfigMaps("default").Get(context.Background(), "settings", metav1.GetOptions{})
	fmt.Println(err, all.Stats().Granted, "requests,", short.Stats().Granted, "of them short")
	// Output:
	// <nil> 2 requests, 1 of them short
}
