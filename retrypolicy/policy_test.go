package retrypolicy

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestZeroConfigMeansTheDocumentedDefaults(t *testing.T) {
	for name, p := range map[string]*Policy{"Default": Default(), "Must": Must(Config{})} {
		c := p.cfg
		if c.MaxAttempts != 4 || c.MaxRetryAfter != time.Minute || c.Backoff != Exponential(100*time.Millisecond, 10*time.Second) {
			t.Errorf("%s: got %+v", name, c)
		}
		if p.AttemptTimeout() != 0 || c.MaxElapsed != 0 || c.Budget != nil || p.ReplayBuffer() != 0 {
			t.Errorf("%s: got %+v, want the rest to be zero", name, c)
		}
		if v := p.Classify(Attempt{Response: &http.Response{StatusCode: 429}}); v != Throttled {
			t.Errorf("%s: the verdict on 429 is %v, want DefaultClassifier's throttled", name, v)
		}
	}
}

func TestNewKeepsWhatItIsGiven(t *testing.T) {
	p := Must(Config{AttemptTimeout: 3 * time.Second, ReplayBuffer: 64 << 10})
	if p.AttemptTimeout() != 3*time.Second || p.ReplayBuffer() != 64<<10 {
		t.Errorf("AttemptTimeout %v, ReplayBuffer %d", p.AttemptTimeout(), p.ReplayBuffer())
	}
}

func TestNewNamesTheInvalidFieldAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{MaxAttempts: -1}, "retrypolicy: Config.MaxAttempts is -1, must be at least 1 (0 means the default, 4)"},
		{Config{AttemptTimeout: -time.Second}, "retrypolicy: Config.AttemptTimeout is -1s, must not be negative (0 means none)"},
		{Config{MaxElapsed: -1}, "retrypolicy: Config.MaxElapsed is -1ns, must not be negative (0 means none)"},
		{Config{MaxRetryAfter: -time.Minute}, "retrypolicy: Config.MaxRetryAfter is -1m0s, must not be negative (0 means the default, 1m)"},
		{Config{ReplayBuffer: -5}, "retrypolicy: Config.ReplayBuffer is -5, must not be negative (0 means nothing is kept)"},
		{Config{Backoff: Constant(-time.Second)}, "retrypolicy: Config.Backoff is Constant(-1s), must not be negative"},
		{Config{Backoff: Exponential(-1, 1)}, "retrypolicy: Config.Backoff is Exponential(-1ns, 1ns), the base must not be negative"},
		{Config{Backoff: Exponential(2, 1)}, "retrypolicy: Config.Backoff is Exponential(2ns, 1ns), the maximum must be at least the base"},
		{Config{Backoff: Decorrelated(-1, 1)}, "retrypolicy: Config.Backoff is Decorrelated(-1ns, 1ns), the base must not be negative"},
		{Config{Backoff: Decorrelated(2, 1)}, "retrypolicy: Config.Backoff is Decorrelated(2ns, 1ns), the maximum must be at least the base"},
		{Config{ThrottleBackoff: Exponential(2, 1)}, "retrypolicy: Config.ThrottleBackoff is Exponential(2ns, 1ns), the maximum must be at least the base"},
		{Config{Backoff: BackoffFunc(nil)}, "retrypolicy: Config.Backoff is a nil BackoffFunc, must be a function (a nil Backoff means the default)"},
		{Config{Budget: NewBudget(-0.5, 1)}, "retrypolicy: Config.Budget is NewBudget(-0.5, 1), the ratio must be from 0 to 1"},
		{Config{Budget: NewBudget(20, 1)}, "retrypolicy: Config.Budget is NewBudget(20, 1), the ratio must be from 0 to 1"},
		{Config{Budget: NewBudget(math.NaN(), 1)}, "retrypolicy: Config.Budget is NewBudget(NaN, 1), the ratio must be from 0 to 1"},
		{Config{Budget: NewBudget(math.Inf(1), 1)}, "retrypolicy: Config.Budget is NewBudget(+Inf, 1), the ratio must be from 0 to 1"},
		{Config{Budget: NewBudget(0.1, -1)}, "retrypolicy: Config.Budget is NewBudget(0.1, -1), the minimum per second must not be negative"},
	} {
		p, err := New(c.cfg)
		if err == nil || err.Error() != c.want || p != nil {
			t.Errorf("New: %v, %v\nwant %s", p, err, c.want)
		}
	}
}

func TestNewReportsEveryInvalidFieldAtOnce(t *testing.T) {
	_, err := New(Config{
		MaxAttempts:     -1,
		Backoff:         Constant(-1),
		ThrottleBackoff: Constant(-1),
		AttemptTimeout:  -1,
		MaxElapsed:      -1,
		MaxRetryAfter:   -1,
		Budget:          NewBudget(-1, 0),
		ReplayBuffer:    -1,
	})
	for _, field := range []string{"MaxAttempts", "Backoff", "ThrottleBackoff", "AttemptTimeout", "MaxElapsed", "MaxRetryAfter", "Budget", "ReplayBuffer"} {
		if err == nil || !strings.Contains(err.Error(), "retrypolicy: Config."+field+" is ") {
			t.Errorf("%s is missing from: %v", field, err)
		}
	}
}

func TestMustPanicsOnAnInvalidConfig(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Must returned")
		}
	}()
	Must(Config{MaxAttempts: -1})
}

func TestPolicyIsTimedWhereSomethingLooksAtTheTime(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want bool
	}{
		"default":          {Config{MaxAttempts: 3, AttemptTimeout: time.Second}, false},
		"MaxElapsed":       {Config{MaxElapsed: time.Second}, true},
		"own Classifier":   {Config{Classify: func(Attempt) Verdict { return Accept }}, true},
		"own statuses too": {Config{Classify: Statuses(Transient, 418)}, true},
	} {
		if got := Must(tc.cfg).Timed(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
