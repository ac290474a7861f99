// Package rest is the typed HTTP machinery below the API: it turns a list of routes,
// each with the Go types of its input and output, into a server that decodes, checks
// and answers requests, and into the OpenAPI document that describes them. It knows
// HTTP and nothing about projects, tables or jobs; the routes and their handlers are in
// package api, which cannot see a request or write an answer.
//
// # Terms
//
// A route is an [Endpoint], made by [Route] from a [Handler]: a function of a context,
// a [Caller], an input and the faults found in it. The input is a struct whose fields
// come from the path, the query, headers and the body; its plan, compiled when the
// server starts, says how to read each field, and the same schemas are published. The
// output is data, which is sent in the envelope, or an [Answer], a [Download], [Events]
// or [NoContent].
//
// # The life of a call
//
// [Edge.ServeHTTP] takes a request through these steps; each may end it with a
// problem.Error, which is answered in the envelope:
//
//  1. match: find the endpoint by method and path, or answer not_found or
//     method_not_allowed
//  2. authenticate: [Config.Authenticate] turns the credential into a [Caller]; see
//     [Bearer]. Nothing else in the request has been looked at before
//  3. admit: the rates of the token, and room for one more call ([limits.Limits])
//  4. join: calls with operation headers are grouped, by [Config.Join]
//  5. permit: the scope of the route, as its [Access] says
//  6. decode: path, query, headers and body into the input, noting every fault; only
//     a request that cannot be read at all ends the call here
//  7. once: a repeated call with an Idempotency-Key gets its first answer again; see
//     [Once] and [KeyForHandler]
//  8. handle: if there are faults, the handler only adds its own, and all are answered
//     together; otherwise it acts
//  9. send: the answer is encoded to memory before its first byte is sent, so that it
//     cannot break halfway; rows beyond 256 KiB are encoded while they are sent
//
// # Invariants
//
// Every path is answered in the envelope, and so are panics. What a client sends is
// limited in size, depth, number of elements and time before it costs memory: bodies
// and answers ask the budget for room. A client that sends or receives too slowly is
// disconnected. Causes of internal errors are logged under the request id and never
// sent.
package rest
