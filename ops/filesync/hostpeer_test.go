package filesync_test

import (
	"testing"

	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

func TestHostPeerWithCommands(t *testing.T) {
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer {
		return filesync.NewHostPeer(local.New("here"), filesync.HostOptions{})
	})
}

func TestHostPeerWithFilesOnly(t *testing.T) {
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer {
		return filesync.NewHostPeer(local.New("here"), filesync.HostOptions{FilesOnly: true, Concurrency: 8})
	})
}
