package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		name      string
		live      uint64
		sinceLast time.Duration
		want      int
	}{
		{"busy and small: 64 MB and the default", 8 << 20, time.Second, 900},
		{"hardly any heap", 0, time.Second, 1700},
		{"busy and large: hardly more than the default", 512 << 20, time.Second, 100},
		{"in between", 64 << 20, time.Second, 200},
		{"idle", 8 << 20, 2 * time.Minute, 100},
	} {
		if got := growth(c.live, mostGarbage, c.sinceLast); got != c.want {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.want)
		}
	}
}

func percentNow() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestPaceCollector collects until the pacer has set what a busy server gets, and has it end.
func TestPaceCollector(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	stop := paceCollector()
	for range 10_000 {
		if percentNow() != defaultPercent {
			break
		}
		runtime.GC()
	}
	if percentNow() == defaultPercent {
		t.Fatal("nothing was set")
	}
	stop()
	if got := percentNow(); got != defaultPercent {
		t.Errorf("%d %% after the end", got)
	}
	t.Setenv("GOMEMLIMIT", "100MiB")
	defer paceCollector()()
	for range 3 {
		runtime.GC()
	}
	if got := percentNow(); got != defaultPercent {
		t.Errorf("%d %% although the operator set a limit", got)
	}
}

func TestMemoryMax(t *testing.T) {
	root := t.TempDir()
	if got := memoryMax(root); got != math.MaxUint64 {
		t.Errorf("without control groups: %d", got)
	}
	for name, content := range map[string]string{
		"proc/self/cgroup": "0::/system.slice/serve.service\n",
		"sys/fs/cgroup/system.slice/serve.service/memory.max": "max\n",
		"sys/fs/cgroup/system.slice/memory.max":               "134217728\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got := memoryMax(root); got != 128<<20 {
		t.Errorf("below a slice of 128 MiB: %d", got)
	}
}
