package filesync_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// What differs is told by node and synced path, and nothing is changed; more deletions than may be are a warning.
func TestCompare(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.opts.Deployment.Sync.Paths = []inventory.SyncPath{{Path: "public/resources/own", Delete: true}}
	c.write("admin", "config/env.mosparo.php", env)
	c.write("admin", "public/resources/mappings.php", mappings)
	c.write("admin", "public/resources/own/x", "x")
	c.mustSync()
	compare := func() *filesync.Comparison {
		t.Helper()
		got, err := filesync.Compare(t.Context(), c.opts)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := compare(); len(got.Drift) > 0 || !got.Plan.Empty() {
		t.Errorf("in step, but %+v", got.Drift)
	}
	c.write("a", "public/resources/mappings.php", "<?php return [];\n")
	c.remove("b", "config/env.mosparo.php")
	for _, name := range []string{"1", "2", "3"} {
		c.write("b", "public/resources/own/"+name, name)
	}
	got := compare()
	count := map[[3]string]int{}
	for _, d := range got.Drift {
		count[[3]string{d.Node, d.Synced, d.Action}]++
	}
	want := map[[3]string]int{{"a", "public/resources", "update"}: 1, {"b", "config/env.mosparo.php", "create"}: 1, {"b", "public/resources/own", "delete"}: 3}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
	if len(got.Warnings) == 0 {
		t.Error("three of four files would be deleted, and nothing is said")
	}
	if again := compare(); len(again.Drift) != len(got.Drift) {
		t.Error("looking has changed something")
	}
}
