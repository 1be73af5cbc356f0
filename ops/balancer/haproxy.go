package balancer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

const (
	runtimeTimeout = 10 * time.Second // of one command on the runtime API
	runtimeLimit   = 8 << 20          // bytes of one reply
)

// haproxy speaks the runtime API ("stats socket") of one HAProxy. One command a connection, as the API wants it.
type haproxy struct {
	socket, backend string
	host            hostFunc
}

func newHAProxy(b inventory.Balancer, host hostFunc) (driver, error) {
	if b.Socket == "" || b.Backend == "" {
		return nil, errors.New("socket and backend are needed: the path (or host:port) of HAProxy's stats socket, and the backend's name")
	}
	if err := runtimeWord(b.Backend); err != nil {
		return nil, err
	}
	return &haproxy{socket: b.Socket, backend: b.Backend, host: host}, nil
}

// runtimeWord refuses names that would be more than one word of a command.
func runtimeWord(s string) error {
	if s == "" || strings.ContainsAny(s, " \t\r\n;/\\\"'#<") {
		return fmt.Errorf("%q can't be the name of a backend or server", s)
	}
	return nil
}

// command sends one command and returns the reply.
func (h *haproxy) command(ctx context.Context, format string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	host, err := h.host(ctx)
	if err != nil {
		return "", err
	}
	network := "tcp"
	if strings.HasPrefix(h.socket, "/") {
		network = "unix"
	}
	conn, err := host.Dial(ctx, network, h.socket)
	if err != nil {
		return "", ops.Errorf(ops.CodeFailed, "open runtime socket %s: %w", h.socket, err).
			WithHint("haproxy.cfg, section global: stats socket %s mode 660 level admin", h.socket)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := fmt.Fprintf(conn, format+"\n", args...); err != nil {
		return "", fmt.Errorf("write to runtime socket: %w", errors.Join(err, ctx.Err()))
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // HAProxy would wait for more commands otherwise; it answers all the same
	}
	reply, err := io.ReadAll(io.LimitReader(conn, runtimeLimit))
	if err != nil && !errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
		return "", fmt.Errorf("read from runtime socket: %w", errors.Join(err, ctx.Err()))
	}
	return string(reply), nil
}

func (h *haproxy) servers(ctx context.Context) ([]Server, error) {
	reply, err := h.command(ctx, "show servers state %s", h.backend)
	if err != nil {
		return nil, err
	}
	states, err := parseServersState(reply)
	if err != nil {
		return nil, err
	}
	if reply, err = h.command(ctx, "show stat"); err != nil {
		return nil, err
	}
	stats, err := parseStat(reply, h.backend)
	if err != nil {
		return nil, err
	}
	for i := range states {
		st, ok := stats[states[i].Name]
		states[i].Sessions = -1
		if ok {
			states[i].Sessions, states[i].Detail = st.sessions, st.status
		}
	}
	return states, nil
}

func (h *haproxy) set(ctx context.Context, server string, s State) error {
	if err := runtimeWord(server); err != nil {
		return err
	}
	reply, err := h.command(ctx, "set server %s/%s state %s", h.backend, server, s)
	if err != nil {
		return err
	}
	if msg := strings.TrimSpace(reply); msg != "" {
		e := ops.Errorf(ops.CodeFailed, "HAProxy says: %s", msg)
		if strings.Contains(strings.ToLower(msg), "permission denied") {
			e = e.WithHint(`the stats socket needs "level admin" in haproxy.cfg`)
		}
		return e
	}
	return nil
}

func (h *haproxy) drained(ctx context.Context, server string) (bool, error) {
	servers, err := h.servers(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range servers {
		if s.Name != server {
			continue
		}
		if s.State == StateReady {
			return false, errors.New("somebody put it back into rotation, or HAProxy was restarted")
		}
		return s.Sessions == 0, nil
	}
	return false, fmt.Errorf("backend %s lost its server %s", h.backend, server)
}

// Bits of srv_admin_state and values of srv_op_state, from HAProxy's management guide ("show servers state").
const (
	adminMaint  = 0x01 | 0x02 | 0x04 | 0x20 | 0x40 // forced, inherited, by configuration, by resolution
	adminDrain  = 0x08 | 0x10                      // forced, inherited
	opRunning   = 2
	opStarting  = 1
	stateFormat = "1"
)

// parseServersState reads "show servers state": a format version, a header that names the columns, and a line a server.
func parseServersState(reply string) ([]Server, error) {
	sc := bufio.NewScanner(strings.NewReader(reply))
	sc.Buffer(nil, runtimeLimit)
	if !sc.Scan() || strings.TrimSpace(sc.Text()) != stateFormat {
		return nil, fmt.Errorf("HAProxy says: %s", firstLine(reply))
	}
	var servers []Server
	var col map[string]int
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "#" {
			col = columns(fields[1:])
			continue
		}
		name, err1 := column(fields, col, "srv_name")
		op, err2 := intColumn(fields, col, "srv_op_state")
		admin, err3 := intColumn(fields, col, "srv_admin_state")
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("read reply to show servers state: %w", err)
		}
		s := Server{Name: name, State: StateReady, Up: op == opRunning || op == opStarting}
		switch {
		case admin&adminMaint != 0:
			s.State = StateMaint
		case admin&adminDrain != 0:
			s.State = StateDrain
		}
		servers = append(servers, s)
	}
	return servers, sc.Err()
}

type serverStat struct {
	sessions int
	status   string
}

// parseStat reads "show stat", a CSV table, and returns what it says of backend's servers.
func parseStat(reply, backend string) (map[string]serverStat, error) {
	text, ok := strings.CutPrefix(reply, "# ")
	if !ok {
		return nil, fmt.Errorf("HAProxy says: %s", firstLine(reply))
	}
	r := csv.NewReader(bytes.NewReader([]byte(text)))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read reply to show stat: %w", err)
	}
	col := columns(header)
	stats := map[string]serverStat{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return stats, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read reply to show stat: %w", err)
		}
		proxy, err1 := column(rec, col, "pxname")
		name, err2 := column(rec, col, "svname")
		status, err3 := column(rec, col, "status")
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("read reply to show stat: %w", err)
		}
		if proxy != backend || name == "BACKEND" || name == "FRONTEND" {
			continue
		}
		n, err := intColumn(rec, col, "scur")
		if err != nil {
			return nil, fmt.Errorf("read reply to show stat: %w", err)
		}
		stats[name] = serverStat{sessions: n, status: status}
	}
}

func columns(names []string) map[string]int {
	col := make(map[string]int, len(names))
	for i, n := range names {
		col[n] = i
	}
	return col
}

func column(fields []string, col map[string]int, name string) (string, error) {
	i, ok := col[name]
	if !ok || i >= len(fields) {
		return "", fmt.Errorf("column %s is missing", name)
	}
	return fields[i], nil
}

func intColumn(fields []string, col map[string]int, name string) (int, error) {
	s, err := column(fields, col, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("column %s: %w", name, err)
	}
	return n, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "nothing"
	}
	return line
}
