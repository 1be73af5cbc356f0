package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// nginxLimit bounds the upstream file that is read.
const nginxLimit = 1 << 20

// nginx drains by marking a server as down in an upstream file and reloading. Old worker processes finish what they
// have begun, so that the last of them has left when the connections have ended.
type nginx struct {
	file     string
	upstream string
	test     []string
	reload   []string
	host     hostFunc
	old      map[string]worker // by process id: the workers from before the last reload
}

func newNginx(b inventory.Balancer, host hostFunc) (driver, error) {
	if b.File == "" {
		return nil, errors.New("file is needed: the path of the file with the upstream's server lines")
	}
	reload := b.Reload
	if len(reload) == 0 {
		reload = []string{"nginx", "-s", "reload"}
	}
	return &nginx{file: b.File, upstream: b.Backend, test: testCommand(reload), reload: reload, host: host}, nil
}

// testCommand is "nginx -t" with the options of a reload that calls nginx itself, such as -c FILE.
func testCommand(reload []string) []string {
	s := slices.Index(reload, "-s")
	direct := slices.ContainsFunc(reload, func(word string) bool { return path.Base(word) == "nginx" })
	if !direct || s < 0 || s+1 >= len(reload) {
		return []string{"nginx", "-t"}
	}
	return append(slices.Delete(slices.Clone(reload), s, s+2), "-t")
}

func (n *nginx) read(ctx context.Context) (ops.Host, upstreamFile, error) {
	host, err := n.host(ctx)
	if err != nil {
		return nil, upstreamFile{}, err
	}
	f, err := host.Open(ctx, n.file)
	if err != nil {
		return nil, upstreamFile{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, nginxLimit+1))
	if err == nil && len(text) > nginxLimit { // a part must never be written back as the whole
		err = fmt.Errorf("it is larger than %d bytes", nginxLimit)
	}
	if err != nil {
		return nil, upstreamFile{}, fmt.Errorf("read %s: %w", n.file, err)
	}
	return host, parseUpstream(string(text), n.upstream), nil
}

func (n *nginx) servers(ctx context.Context) ([]Server, error) {
	_, file, err := n.read(ctx)
	if err != nil {
		return nil, err
	}
	list := file.servers()
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no server line", n.file)
	}
	return list, nil
}

// set rewrites the file, has nginx test it and reloads. When either fails the old file is put back.
func (n *nginx) set(ctx context.Context, server string, s State) error {
	host, file, err := n.read(ctx)
	if err != nil {
		return err
	}
	text := file.with(server, s)
	if text == file.text {
		return nil
	}
	target, attr, err := n.attr(ctx, host)
	if err != nil {
		return err
	}
	if err := host.WriteFile(ctx, target, strings.NewReader(text), attr); err != nil {
		return err
	}
	old, err := n.workers(ctx, host)
	if err == nil {
		_, err = host.Run(ctx, ops.Command{Argv: n.test})
	}
	if err == nil {
		n.old = old
		_, err = host.Run(ctx, ops.Command{Argv: n.reload})
	}
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	if e := host.WriteFile(ctx, target, strings.NewReader(file.text), attr); e != nil {
		return errors.Join(err, fmt.Errorf("put the old %s back: %w", n.file, e))
	}
	return fmt.Errorf("%w (the old %s was put back)", err, n.file)
}

// attr is where the file really lies and what it has, so that a symlink, its mode and its owner stay as they are.
func (n *nginx) attr(ctx context.Context, host ops.Host) (string, ops.Attr, error) {
	target := n.file
	for range 8 {
		info, err := host.Lstat(ctx, target)
		if err != nil {
			return "", ops.Attr{}, err
		}
		if !info.IsLink() {
			return target, ops.Attr{Mode: info.Mode.Perm(), Owner: &ops.Owner{UID: info.UID, GID: info.GID}}, nil
		}
		link, err := host.ReadLink(ctx, target)
		if err != nil {
			return "", ops.Attr{}, err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(target), link)
		}
		target = link
	}
	return "", ops.Attr{}, fmt.Errorf("%s: too many symlinks", n.file)
}

// worker is one of nginx's worker processes.
type worker struct {
	master  string // process id of its parent
	leaving bool   // ends when its connections have ended
}

// workers lists the worker processes of every nginx on the machine by process id.
func (n *nginx) workers(ctx context.Context, host ops.Host) (map[string]worker, error) {
	res, err := host.Run(ctx, ops.Command{Argv: []string{"ps", "-e", "-o", "pid=,ppid=,args="}})
	if err != nil {
		return nil, err
	}
	return parseWorkers(string(res.Stdout)), nil
}

func parseWorkers(ps string) map[string]worker {
	workers := map[string]worker{}
	for line := range strings.Lines(ps) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.Join(f[2:5], " ") == "nginx: worker process" {
			workers[f[0]] = worker{master: f[1], leaving: len(f) > 5}
		}
	}
	return workers
}

// drained is true when the last worker from before the reload has gone: it leaves when its connections have ended.
func (n *nginx) drained(ctx context.Context, _ string) (bool, error) {
	host, err := n.host(ctx)
	if err != nil {
		return false, err
	}
	now, err := n.workers(ctx, host)
	return err == nil && allLeft(n.old, now), err
}

// allLeft compares the workers before a reload with those of now. Only the nginx that was reloaded counts: the one whose
// workers began to leave. Another one on the same machine, perhaps in a container, keeps its workers for ever.
func allLeft(old, now map[string]worker) bool {
	reloaded := map[string]bool{}
	for pid, w := range old {
		if is, there := now[pid]; !there || is.leaving && !w.leaving {
			reloaded[w.master] = true
		}
	}
	for pid, w := range old {
		if _, there := now[pid]; there && reloaded[w.master] {
			return false
		}
	}
	return len(old) == 0 || len(reloaded) > 0
}
