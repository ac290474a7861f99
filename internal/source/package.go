package source

import (
	"io"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/format"
)

// packageName is the member in which an export of ours describes the others.
const packageName = "datapackage.json"

// maxPackage is how long such a description may be.
const maxPackage = 16 << 20

// readPackage reads how the members of an export of ours are written, so that nothing
// about them has to be guessed. Other descriptions, and damaged ones, are passed over:
// then the members are recognized by their content.
func (z *zipFile) readPackage() {
	member := z.find(packageName)
	if member == nil || member.UncompressedSize64 > maxPackage {
		return
	}
	r, err := z.open(member)
	if err != nil {
		return
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, maxPackage))
	if err != nil {
		return
	}
	var described struct {
		Resources []struct {
			Path string          `json:"path"`
			Own  *format.Dialect `json:"zangtable_dialect"`
		} `json:"resources"`
	}
	if json.Unmarshal(content, &described) != nil {
		return
	}
	z.dialects = map[string]format.ReadDialect{}
	for _, resource := range described.Resources {
		if resource.Own != nil && resource.Own.Validate() == nil {
			z.dialects[resource.Path] = resource.Own.Reading()
		}
	}
}
