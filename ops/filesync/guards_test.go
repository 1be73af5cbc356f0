package filesync_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
)

func TestSyncDeleteBudget(t *testing.T) {
	c := newCluster(t, "app1", "app2")
	c.mustSync()
	c.opts.Delete = true
	for i := range 20 {
		c.write("app1", fmt.Sprintf("var/data/extra/%d", i), "x")
	}
	c.write("app2", "var/data/extra", "x")
	before := filesynctest.Snapshot(t, c.path("app1", ""))
	_, err := c.sync()
	var over *filesync.DeleteBudgetError
	if !errors.As(err, &over) || ops.CodeOf(err) != ops.CodeConfirm || over.Count != 21 || over.Files != 20 || over.Limit != 3 || over.Of != 25 {
		t.Fatalf("error = %v, %+v", err, over)
	}
	if !strings.Contains(err.Error(), "20 of 25 files would be deleted on app1") || !strings.Contains(ops.HintOf(err), "--max-delete=20") {
		t.Errorf("%v (%s)", err, ops.HintOf(err))
	}
	c.want("app1", before)
	for _, tt := range []struct {
		max       string
		confirmed int
		code      ops.Code
	}{{"19", 0, ops.CodeConfirm}, {"", 20, ops.CodeConfirm}, {"x", 0, ops.CodeUsage}, {"-1", 0, ops.CodeUsage}, {"101%", 0, ops.CodeUsage},
		{"NaN%", 0, ops.CodeUsage}, {"", 21, ""}, {"20", 0, ""}, {"80%", 0, ""}} {
		c.opts.MaxDelete, c.opts.Confirmed = tt.max, tt.confirmed
		if _, _, err := c.plan(); ops.CodeOf(err) != tt.code {
			t.Errorf("max %q, confirmed %d: %v", tt.max, tt.confirmed, err)
		}
	}
	c.opts.MaxDelete, c.opts.Confirmed = "", 21
	c.mustSync()
	c.want("app1", synced())
}

// Whatever happens to the source, the targets stay as they are, and the error says what and where.
func TestSyncSourceGuards(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(c *cluster)
		text  string
	}{
		"vanished":          {func(c *cluster) { c.remove("admin", "") }, "no such file"},
		"emptied":           {func(c *cluster) { c.remove("admin", ""); must(c.t, os.Mkdir(c.path("admin", ""), 0o755)) }, "env.mosparo.php is missing"},
		"is a file":         {func(c *cluster) { c.remove("admin", ""); must(c.t, os.WriteFile(c.path("admin", ""), nil, 0o644)) }, "admin"},
		"no configuration":  {func(c *cluster) { c.remove("admin", "config") }, "env.mosparo.php is missing"},
		"empty config":      {func(c *cluster) { c.write("admin", "config/env.mosparo.php", "") }, "not complete"},
		"half a config":     {func(c *cluster) { c.write("admin", "config/env.mosparo.php", env[:30]) }, "not complete"},
		"config is garbage": {func(c *cluster) { c.write("admin", "config/env.mosparo.php", "<?php return [1,;") }, "env.mosparo.php"},
		"not installed":     {func(c *cluster) { c.write("admin", "config/env.mosparo.php", "<?php return [];") }, "not installed"},
		"half mappings":     {func(c *cluster) { c.write("admin", "public/resources/mappings.php", mappings[:20]) }, "mappings.php is not complete"},
		"data emptied": {func(c *cluster) {
			c.remove("admin", "var/data")
			must(c.t, os.Mkdir(c.path("admin", "var/data"), 0o755))
		}, "var/data is empty or gone"},
		"data vanished": {func(c *cluster) { c.remove("admin", "var/data") }, "var/data is empty or gone"},
		"marker":        {func(c *cluster) { c.remove("admin", "extra/.keep") }, "the marker"},
		"data is a link": {func(c *cluster) {
			must(c.t, os.Rename(c.path("admin", "var/data"), c.path("admin", "elsewhere")))
			must(c.t, os.Symlink(c.path("admin", "elsewhere"), c.path("admin", "var/data")))
		}, "points out of the tree"},
		"link inside": {func(c *cluster) { must(c.t, os.Symlink("../../../../etc/passwd", c.path("admin", "var/data/evil"))) }, "var/data/evil points out of the tree"},
		"parent is a link": {func(c *cluster) {
			must(c.t, os.Rename(c.path("admin", "var"), c.path("admin", "elsewhere")))
			must(c.t, os.Symlink("elsewhere", c.path("admin", "var")))
		}, "var is a symlink"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "app1")
			c.opts.Deployment.Sync.Paths = []inventory.SyncPath{{Path: "extra", Marker: "extra/.keep", Delete: true}}
			c.opts.Delete, c.opts.MaxDelete = true, "100%"
			c.write("admin", "extra/.keep", "")
			c.write("admin", "extra/file", "x")
			c.mustSync()
			before := filesynctest.Snapshot(t, c.opts.Deployment.Node("app1").Paths.Root)
			tt.spoil(c)
			_, err := c.sync()
			if ops.CodeOf(err) != ops.CodeFailed || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "admin") {
				t.Errorf("error = %v, want %q", err, tt.text)
			}
			if d := cmp.Diff(before, filesynctest.Snapshot(t, c.opts.Deployment.Node("app1").Paths.Root)); d != "" {
				t.Errorf("the target changed (-before +after):\n%s", d)
			}
		})
	}
}

// A sync path that is a link on one side only, such as a folder that was moved to another disk, is not replaced.
func TestSyncLeavesLinkedPathsAlone(t *testing.T) {
	for name, side := range map[string]string{"target": "app1", "source": "admin"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "app1", "app2")
			c.mustSync()
			c.write("admin", "var/data/new", "new")
			disk := filepath.Join(filepath.Dir(c.path(side, "var")), "disk")
			must(t, os.Rename(c.path(side, "var/data"), disk))
			must(t, os.Symlink("../disk", c.path(side, "var/data")))
			before := filesynctest.Snapshot(t, c.path("app1", ""))
			c.opts.Delete, c.opts.MaxDelete = true, "100%"
			f, err := filesync.Gather(t.Context(), c.opts)
			must(t, err)
			if err := f.Unreadable["app1"]; err == nil || !strings.Contains(err.Error(), "var/data is a symlink on "+side) || ops.HintOf(err) == "" {
				t.Errorf("error = %v", err)
			}
			if (f.Unreadable["app2"] != nil) != (side == "admin") {
				t.Errorf("app2: %v", f.Unreadable["app2"])
			}
			_, err = c.sync()
			must(t, err)
			if d := cmp.Diff(before, filesynctest.Snapshot(t, c.path("app1", ""))); d != "" {
				t.Errorf("app1 was changed:\n%s", d)
			}
		})
	}
}
