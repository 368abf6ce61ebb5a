package sdks

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/quota"
)

// S3 returns a client of S3 whose requests and retries, those of an upload in parts included, keep
// to requests.
//
// The SDK keeps its retryer: only it can rewind its bodies, which have no GetBody, and knows its
// errors by their codes. It also keeps its http.Client. See pacing.
func S3(requests *pacer.Pacer, cfg aws.Config, opts ...func(*s3.Options)) *s3.Client {
	if cfg.Retryer == nil {
		cfg.Retryer = patient // ten attempts: the pacer decides when they are made
	}
	return s3.NewFromConfig(cfg, append(opts, func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, pacing(requests, noCost))
	})...)
}

// DynamoDB returns a client of DynamoDB whose writes and their retries keep to capacity, which
// counts "write-units": one for each kilobyte of an item, and an item is no larger than its JSON.
func DynamoDB(capacity *pacer.Pacer, cfg aws.Config, opts ...func(*dynamodb.Options)) *dynamodb.Client {
	if cfg.Retryer == nil {
		cfg.Retryer = patient
	}
	return dynamodb.NewFromConfig(cfg, append(opts, func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, pacing(capacity, writeUnits))
	})...)
}

// patient is the SDK's retryer without its budget of retries, which is there so that retries do not
// feed an outage: with pacer.Config.Outage the pacer sees to that.
func patient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.RateLimiter = attempts, ratelimit.None })
}

func noCost(ctx context.Context, _ *smithyhttp.Request) context.Context { return ctx }

func writeUnits(ctx context.Context, req *smithyhttp.Request) context.Context {
	size, _, _ := req.StreamLength()
	return pacer.WithCost(ctx, "write-units", int(size+1023)/1024)
}

// pacing takes a slot in the SDK's own stack, between its retryer and its signer. A RoundTripper
// sits below the signer: there a request would wait with a signature that is good for five
// minutes. And here the SDK has read the answer: it knows a throttling by its code, though its
// status be 400.
func pacing(quota *pacer.Pacer, cost func(context.Context, *smithyhttp.Request) context.Context) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Pace", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, data middleware.Metadata, err error) {
			waiting := ctx
			if req, ok := in.Request.(*smithyhttp.Request); ok {
				waiting = cost(ctx, req)
			}
			slot, err := quota.Acquire(waiting)
			if err != nil {
				return out, data, err
			}
			defer slot.Done()
			out, data, err = next.HandleFinalize(ctx, in)
			if ctx.Err() == nil {
				slot.Report(outcome(err))
			}
			return out, data, err
		}), "Signing", middleware.Before)
	}
}

// outcome is what the pacer is told.
func outcome(err error) pacer.Outcome {
	if err == nil {
		return pacer.Outcome{}
	}
	var o pacer.Outcome
	o.Throttled = retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
	o.Failed = retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
	if answer := (*smithyhttp.ResponseError)(nil); errors.As(err, &answer) && answer.Response != nil {
		o.Delay, _ = quota.RetryAfter(answer.Response.Header, time.Now())
	}
	return o
}
