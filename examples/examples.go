// Package examples holds the small data sets that the quickstart and the tests
// work on. All people and companies in them are made up.
package examples

import _ "embed"

// CRM is the example of the quickstart: the body of a bootstrap request with
// companies and contacts, without the user that such a request names.
//
//go:embed crm.json
var CRM []byte
