package api

// routes is the whole API. Routing, decoding, validation, the OpenAPI document
// and the contract tests all read this list.
func routes() []*endpoint {
	return []*endpoint{}
}
