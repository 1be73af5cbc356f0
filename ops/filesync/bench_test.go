package filesync_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// BenchmarkRelease sends a tree of the size of a mosparo release (10,000 files, 60 MB) into a fresh folder, and lists it.
func BenchmarkRelease(b *testing.B) {
	source := b.TempDir()
	tree := Tree{}
	for i := range 10_000 {
		tree[fmt.Sprintf("vendor/p%02d/d%d/f%05d.php", i%100, i%7, i)] = strings.Repeat(fmt.Sprintf("<?php // %d\n", i), 1+i%1000)
	}
	tree.Make(b, source)
	s, err := remotetest.Start(remotetest.Config{Dir: b.TempDir()})
	must(b, err)
	b.Cleanup(func() { s.Close() })
	n, err := s.Node("web1", b.TempDir())
	must(b, err)
	pool := remote.NewPool(&inventory.Deployment{Nodes: []*inventory.Node{n}}, remote.Options{Home: b.TempDir(), Agent: "none"})
	b.Cleanup(func() { pool.Close() })
	far, err := pool.Host(b.Context(), n.Name)
	must(b, err)
	from := filesync.NewHostPeer(local.New("here"), filesync.HostOptions{FilesOnly: true})
	for name, host := range map[string]ops.Host{"local": local.New("here"), "ssh": far} {
		to := filesync.NewHostPeer(host, filesync.HostOptions{})
		b.Run("send/"+name, func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				m, err := from.Scan(b.Context(), source, filesync.ScanOptions{Hash: true})
				must(b, err)
				_, err = filesync.Transfer(b.Context(), from, source, to, filepath.Join(dir, fmt.Sprint(i)), filesync.Diff(m, nil, filesync.DiffOptions{}), filesync.Options{})
				must(b, err)
			}
		})
		b.Run("scan/"+name, func(b *testing.B) {
			for b.Loop() {
				_, err := to.Scan(b.Context(), source, filesync.ScanOptions{})
				must(b, err)
			}
		})
		b.Run("hash/"+name, func(b *testing.B) {
			for b.Loop() {
				_, err := to.Scan(b.Context(), source, filesync.ScanOptions{Hash: true})
				must(b, err)
			}
		})
	}
}
