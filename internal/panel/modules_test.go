package panel

import (
	"os/exec"
	"testing"

	"github.com/zangtable/zangtable/internal/testkit"
)

// The modules that need no page are tested in their own language.
func TestModules(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), testkit.Tool(t, "node"), "--test", "testdata/modules.test.mjs")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("node: %v\n%s", err, output)
	}
}
