package remotetest

import (
	"errors"
	"math"
	"net"
	"sync"
	"time"
)

// Faults is what goes wrong on a server, on all of its connections. The zero of each is that nothing does. Safe for
// concurrent use.
type Faults struct {
	mu        sync.Mutex
	cut       int64 // bytes left until connections are cut
	space     int64 // bytes left until the disk is full
	delay     time.Duration
	stalled   chan struct{} // closed when the line moves again; nil: it does
	exec      bool
	sftp      bool
	forward   bool
	noRename  bool
	noLink    bool
	readOnly  bool
	onWritten func(total int64)
	written   int64
}

func newFaults() *Faults { return &Faults{cut: math.MaxInt64, space: math.MaxInt64} }

// CutAfter cuts the connection over which the n-th byte from now on goes, in either direction. Later connections work.
func (f *Faults) CutAfter(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = n
}

// DiskFullAfter lets n more bytes be written over SFTP, then refuses all writes as OpenSSH does on a full disk: by a status
// without a reason. A negative n gives space back.
func (f *Faults) DiskFullAfter(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < 0 {
		n = math.MaxInt64
	}
	f.space = n
}

// ReadOnly makes the file systems read-only, which OpenSSH tells by a status without a reason.
func (f *Faults) ReadOnly(on bool) { f.set(&f.readOnly, on) }

// RoundTrip makes a round trip on new connections take d longer.
func (f *Faults) RoundTrip(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d / 2
}

// Stall stops all traffic in both directions, while the connections stay open, until the returned function is called.
func (f *Faults) Stall() (resume func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	moving := make(chan struct{})
	f.stalled = moving
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stalled == moving {
			f.stalled = nil
		}
		close(moving)
	})
}

// RefuseExec, RefuseSFTP and RefuseForwarding turn a service off, as sshd_config can.
func (f *Faults) RefuseExec(on bool) { f.set(&f.exec, on) }

// RefuseSFTP refuses the SFTP subsystem.
func (f *Faults) RefuseSFTP(on bool) { f.set(&f.sftp, on) }

// RefuseForwarding refuses connections through the server.
func (f *Faults) RefuseForwarding(on bool) { f.set(&f.forward, on) }

// NoPosixRename makes new SFTP sessions lack the posix-rename extension, and rename refuse to replace a file, as the
// protocol's own rename does.
func (f *Faults) NoPosixRename(on bool) { f.set(&f.noRename, on) }

// NoHardLink makes new SFTP sessions lack the hardlink extension.
func (f *Faults) NoHardLink(on bool) { f.set(&f.noLink, on) }

func (f *Faults) set(flag *bool, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*flag = on
}

func (f *Faults) get(flag *bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *flag
}

func (f *Faults) refusesExec() bool       { return f.get(&f.exec) }
func (f *Faults) refusesSFTP() bool       { return f.get(&f.sftp) }
func (f *Faults) refusesForwarding() bool { return f.get(&f.forward) }

// OnWritten has fn called after each write over SFTP that succeeded, with the bytes written since the start. It is for tests
// that act in the middle of a transfer; fn must be fast.
func (f *Faults) OnWritten(fn func(total int64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onWritten = fn
}

// take lets n bytes be written, or says that there is no space.
func (f *Faults) take(n int64) bool {
	f.mu.Lock()
	if n > f.space {
		f.space = 0
		f.mu.Unlock()
		return false
	}
	if f.space != math.MaxInt64 {
		f.space -= n
	}
	f.written += n
	fn, total := f.onWritten, f.written
	f.mu.Unlock()
	if fn != nil {
		fn(total)
	}
	return true
}

func (f *Faults) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.space != math.MaxInt64
}

// pass counts n bytes on the line and gives how many of them get through before it is cut.
func (f *Faults) pass(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut == math.MaxInt64 {
		return n
	}
	if int64(n) < f.cut {
		f.cut -= int64(n)
		return n
	}
	n = int(f.cut)
	f.cut = math.MaxInt64 // one connection is cut, the next works
	return n
}

// wait holds traffic up while the line is stalled. It reports false if the connection was closed meanwhile.
func (f *Faults) wait(closed <-chan struct{}) bool {
	for {
		f.mu.Lock()
		stalled := f.stalled
		f.mu.Unlock()
		if stalled == nil {
			return true
		}
		select {
		case <-stalled:
		case <-closed:
			return false
		}
	}
}

// errCut is what the server side sees of a line that was cut.
var errCut = errors.New("remotetest: the line was cut")

// faultConn is the server's end of a connection, seen through the line's faults.
type faultConn struct {
	net.Conn
	faults *Faults
	in     *line
	out    *line
	once   sync.Once
	closed chan struct{}
}

func newFaultConn(c net.Conn, f *Faults) *faultConn {
	fc := &faultConn{Conn: c, faults: f, closed: make(chan struct{})}
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		fc.in, fc.out = newLine(delay, fc.closed), newLine(delay, fc.closed)
		go fc.in.fill(c.Read)
		go fc.out.drain(c.Write, fc.Close)
	}
	return fc
}

func (c *faultConn) Read(p []byte) (int, error) {
	read := c.Conn.Read
	if c.in != nil {
		read = c.in.read
	}
	n, err := read(p)
	if !c.faults.wait(c.closed) {
		return 0, net.ErrClosed
	}
	return c.through(n, err)
}

func (c *faultConn) Write(p []byte) (int, error) {
	if !c.faults.wait(c.closed) {
		return 0, net.ErrClosed
	}
	n, cut := c.through(len(p), nil)
	write := c.Conn.Write
	if c.out != nil {
		write = c.out.write
	}
	if cut != nil {
		// The client gets what came through before the cut.
		_, _ = c.Conn.Write(p[:n])
		c.Close()
		return n, cut
	}
	return write(p)
}

// through counts n bytes and cuts the line in the middle of them if it is time.
func (c *faultConn) through(n int, err error) (int, error) {
	passed := c.faults.pass(n)
	if passed == n {
		return n, err
	}
	return passed, errCut
}

// Close closes the connection at once, also while it is stalled.
func (c *faultConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// line delays what goes through it, without limiting how much is on its way.
type line struct {
	delay  time.Duration
	closed <-chan struct{}
	queue  chan parcel
	rest   []byte
}

type parcel struct {
	data []byte
	due  time.Time
	err  error
}

func newLine(delay time.Duration, closed <-chan struct{}) *line {
	return &line{delay: delay, closed: closed, queue: make(chan parcel, 4096)}
}

// fill puts what read gives onto the line.
func (l *line) fill(read func([]byte) (int, error)) {
	for {
		buf := make([]byte, 32<<10)
		n, err := read(buf)
		select {
		case l.queue <- parcel{buf[:n], time.Now().Add(l.delay), err}:
		case <-l.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// read takes from the line what has arrived.
func (l *line) read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		next, ok := l.next()
		if !ok {
			return 0, net.ErrClosed
		}
		if next.err != nil {
			return copy(p, next.data), next.err
		}
		l.rest = next.data
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// next waits until a parcel is due.
func (l *line) next() (parcel, bool) {
	select {
	case next := <-l.queue:
		timer := time.NewTimer(time.Until(next.due))
		defer timer.Stop()
		select {
		case <-timer.C:
			return next, true
		case <-l.closed:
			return parcel{}, false
		}
	case <-l.closed:
		return parcel{}, false
	}
}

func (l *line) write(p []byte) (int, error) {
	select {
	case l.queue <- parcel{data: append([]byte(nil), p...), due: time.Now().Add(l.delay)}:
		return len(p), nil
	case <-l.closed:
		return 0, net.ErrClosed
	}
}

// drain writes to the network what arrives.
func (l *line) drain(write func([]byte) (int, error), closeConn func() error) {
	for {
		next, ok := l.next()
		if !ok {
			return
		}
		if _, err := write(next.data); err != nil {
			_ = closeConn() // the reader sees the end either way
			return
		}
	}
}
