package sdks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// awsConfig is that of a program, with a transport on which all of AWS is a fake.
func awsConfig(base http.RoundTripper) aws.Config {
	return aws.Config{
		Region:     "eu-central-1",
		HTTPClient: &http.Client{Transport: base},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	}
}

// "Best practices design patterns": 3,500 writes a second for a prefix; here a hundredth of it.
var s3Contest = contest{
	sdk: "aws S3, multipart", call: "POST and PUT, a stream", calls: 16, workers: 16, limits: "35/s",
	api: s3API,
	alone: func(base http.RoundTripper) program {
		return uploads(s3.NewFromConfig(awsConfig(base)))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return uploads(sdks.S3(pacer.Must(quota), awsConfig(base)))
	},
}

// "Read/write capacity": a table of 10 write units a second.
var dynamoContest = contest{
	sdk: "aws DynamoDB", call: "POST an item", calls: 60, workers: 20, limits: "10 write-units/s bucket 10",
	api: dynamoAPI,
	alone: func(base http.RoundTripper) program {
		return writes(dynamodb.NewFromConfig(awsConfig(base)))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return writes(sdks.DynamoDB(pacer.Must(quota), awsConfig(base)))
	},
}

// uploads sends a file and a stream in turn, both in three parts.
func uploads(client *s3.Client) program {
	manager := transfermanager.New(client, func(o *transfermanager.Options) { o.PartSizeBytes, o.MultipartUploadThreshold = 5<<20, 5<<20 })
	content := bytes.Repeat([]byte("0123456789abcdef"), 11<<16)
	return func(ctx context.Context, call int) error {
		var body io.Reader = struct{ io.Reader }{bytes.NewReader(content)}
		if call%2 == 0 {
			dir, err := os.MkdirTemp("", "")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(dir, "file")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			body = file
		}
		_, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
			Bucket: aws.String("bucket"), Key: aws.String(fmt.Sprint("prefix/", call)), Body: body,
		})
		return err
	}
}

// writes puts items of one to three units.
func writes(client *dynamodb.Client) program {
	return func(ctx context.Context, call int) error {
		_, err := client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: aws.String("table"),
			Item: map[string]types.AttributeValue{
				"id":   &types.AttributeValueMemberS{Value: fmt.Sprint(call)},
				"text": &types.AttributeValueMemberS{Value: strings.Repeat("x", 800+1024*(call%3))},
			},
		})
		return err
	}
}

func s3API(limits []pacer.Limit) *vendor.API {
	return &vendor.API{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, _ vendor.Refusal) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<Error><Code>ServiceUnavailable</Code></Error>`)
		},
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			time.Sleep(50 * time.Millisecond)
			query := r.URL.Query()
			switch {
			case query.Has("uploads"):
				fmt.Fprint(w, `<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>key</Key><UploadId>upload</UploadId></InitiateMultipartUploadResult>`)
			case query.Has("partNumber"):
				w.Header().Set("ETag", `"part"`)
			case query.Has("uploadId"):
				fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
			}
		},
	}
}

func dynamoAPI(limits []pacer.Limit) *vendor.API {
	say := func(w http.ResponseWriter, status int, code string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"as the code says"}`, code)
	}
	return &vendor.API{
		Limits: limits,
		Cost: func(r *vendor.Request) map[string]int {
			var put struct {
				Item map[string]struct{ S string }
			}
			json.Unmarshal(r.Body, &put)
			size := 0
			for name, value := range put.Item {
				size += len(name) + len(value.S)
			}
			return map[string]int{"write-units": (size + 1023) / 1024}
		},
		Refuse: func(w http.ResponseWriter, _ vendor.Refusal) {
			say(w, http.StatusBadRequest, "ProvisionedThroughputExceededException")
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			say(w, http.StatusInternalServerError, "InternalServerError")
		},
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			if signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err != nil || time.Since(signed) > 5*time.Minute {
				say(w, http.StatusBadRequest, "InvalidSignatureException")
				return
			}
			time.Sleep(10 * time.Millisecond)
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			fmt.Fprint(w, `{}`)
		},
	}
}

// Below the signer, as a RoundTripper, the pacer would hold requests back until their signatures
// are stale.
func TestAWSRequestIsSignedAfterItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := vendor.Serve(dynamoAPI(parse(t, "1 write-units/s bucket 10")))
		defer stop()
		put := writes(sdks.DynamoDB(pacer.Burst(1, 10*time.Minute), awsConfig(base)))
		for call := range 2 {
			if err := put(t.Context(), call); err != nil {
				t.Errorf("call %d: %v", call, err)
			}
		}
	})
}

// A throttling is a 400 here, which says nothing to a layer that knows only HTTP.
func TestAWSErrorsAreReportedByTheirCodes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		say   func(api *vendor.API, w http.ResponseWriter)
		times int
		then  pacer.State
	}{
		{"throttled", func(api *vendor.API, w http.ResponseWriter) { api.Refuse(w, vendor.Refusal{}) }, 1, pacer.StateProbing},
		{"failed", func(api *vendor.API, w http.ResponseWriter) { api.Fail(w, nil) }, 5, pacer.StateDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quota := pacer.Must(pacer.Config{Limits: parse(t, "10 write-units/s"), Outage: &pacer.Outage{}})
				api := dynamoAPI(nil)
				answer, requests := api.Answer, 0
				api.Answer = func(w http.ResponseWriter, r *vendor.Request) {
					if requests++; requests <= tt.times {
						tt.say(api, w)
						return
					}
					if got := quota.Stats().State; got != tt.then {
						t.Errorf("the pacer is %v, want %v", got, tt.then)
					}
					answer(w, r)
				}
				base, stop := vendor.Serve(api)
				defer stop()
				if err := writes(sdks.DynamoDB(quota, awsConfig(base)))(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func ExampleS3() {
	limits, err := pacer.ParseLimits("35/s")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(s3API(limits))
	defer stop()
	cfg := awsConfig(base) // in your program: config.LoadDefaultConfig

	requests := pacer.Must(pacer.Config{Limits: limits, Outage: &pacer.Outage{}})
	uploads := transfermanager.New(sdks.S3(requests, cfg))
	_, err = uploads.UploadObject(context.Background(), &transfermanager.UploadObjectInput{
		Bucket: aws.String("bucket"), Key: aws.String("key"), Body: strings.NewReader(strings.Repeat("x", 20<<20)),
	})
	fmt.Println(err, requests.Stats().Granted, "requests")
	// Output:
	// <nil> 5 requests
}

func ExampleDynamoDB() {
	limits, err := pacer.ParseLimits("10 write-units/s bucket 10")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(dynamoAPI(limits))
	defer stop()
	cfg := awsConfig(base) // in your program: config.LoadDefaultConfig

	capacity := pacer.Must(pacer.Config{Limits: limits, Outage: &pacer.Outage{}})
	_, err = sdks.DynamoDB(capacity, cfg).PutItem(context.Background(), &dynamodb.PutItemInput{
		TableName: aws.String("table"),
		Item:      map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}},
	})
	fmt.Println(err, capacity.Stats().Granted, "write")
	// Output:
	// <nil> 1 write
}
