package handshake

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
)

// verdict reports whether err, a handshake's, can only be what a function of the
// program's tls.Config returned and meant. Everything that crypto/tls, net and
// net/http make themselves is known: a net.Error, an end of the stream, a context's
// error, or a text that begins with its package. A function that returns such an
// error, or wraps one, did not judge but fail, as one that asks an OCSP server may:
// that can pass. One whose error has a Retryable method has said all itself.
//
// The connection must be one of package net, perhaps wrapped: what others return
// from Read and Write cannot be known.
func verdict(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return false
	}
	if _, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](err); ok {
		return false
	}
	for _, known := range [...]error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, context.Canceled} {
		if errors.Is(err, known) {
			return false
		}
	}
	return !strings.HasPrefix(err.Error(), "tls: ") && !strings.HasPrefix(err.Error(), "crypto/")
}

// contains reports whether cause is in err's tree. Other than errors.Is it finds
// errors that == cannot compare, such as a list of errors, which a function that
// checks several things may return: for these, type and text decide.
func contains(err, cause error) bool {
	if err == nil {
		return false
	}
	if reflect.TypeOf(err) == reflect.TypeOf(cause) {
		if !reflect.ValueOf(cause).Comparable() || !reflect.ValueOf(err).Comparable() {
			return err.Error() == cause.Error()
		}
		if err == cause {
			return true
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return contains(e.Unwrap(), cause)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if contains(err, cause) {
				return true
			}
		}
	}
	return false
}
