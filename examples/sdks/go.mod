module github.com/pacedhttp/pacedhttp/examples/sdks

go 1.26.0

require (
	github.com/google/go-github/v88 v88.0.0
	github.com/pacedhttp/pacedhttp v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/google/go-querystring v1.2.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
)

replace github.com/pacedhttp/pacedhttp => ../..
