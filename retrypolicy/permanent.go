package retrypolicy

// Permanent returns err marked as final: no loop retries it, and no Classifier can
// override that. The text is err's own, and errors.Is and errors.As see through the mark.
// The mark stays: what the call ends with is final to a loop further out too. Permanent of
// nil is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

// Retryable is what [Policy.Classify] looks for.
func (*permanent) Retryable() bool { return false }

func (e *permanent) Unwrap() error { return e.error }
