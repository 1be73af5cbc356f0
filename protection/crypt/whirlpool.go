package crypt

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// The block size and the size of a digest of Whirlpool, in bytes.
const (
	whirlpoolBlock  = 64
	whirlpoolRounds = 10
)

// whirlpoolTables holds the diffusion table of each byte position and the round constants of ISO/IEC 10118-3:2004,
// derived from the cipher's mini-boxes. It never changes.
var whirlpoolTables = makeWhirlpoolTables()

type whirlpoolTable struct {
	c  [8][256]uint64
	rc [whirlpoolRounds]uint64
}

func makeWhirlpoolTables() *whirlpoolTable {
	e := [16]byte{0x1, 0xb, 0x9, 0xc, 0xd, 0x6, 0xf, 0x3, 0xe, 0x8, 0x7, 0x4, 0xa, 0x2, 0x5, 0x0}
	r := [16]byte{0x7, 0xc, 0xb, 0xd, 0xe, 0x4, 0x9, 0xf, 0x6, 0x3, 0x8, 0xa, 0x2, 0x5, 0x1, 0x0}
	var inv [16]byte
	for i, x := range e {
		inv[x] = byte(i)
	}
	double := func(x uint64) uint64 { // in GF(2^8) modulo x^8+x^4+x^3+x^2+1
		if x <<= 1; x >= 0x100 {
			x ^= 0x11d
		}
		return x
	}
	t := new(whirlpoolTable)
	var sbox [256]uint64
	for x := range 256 {
		u, l := e[x>>4], inv[x&15]
		m := r[u^l]
		s := uint64(e[u^m])<<4 | uint64(inv[l^m])
		sbox[x] = s
		s2 := double(s)
		s4 := double(s2)
		s8 := double(s4)
		row := s<<56 | s<<48 | s4<<40 | s<<32 | s8<<24 | (s4^s)<<16 | s2<<8 | (s8 ^ s)
		for i := range t.c {
			t.c[i][x] = bits.RotateLeft64(row, -8*i)
		}
	}
	for i := range t.rc {
		for j := range 8 {
			t.rc[i] = t.rc[i]<<8 | sbox[8*i+j]
		}
	}
	return t
}

// mix is one round without the key: substitution, shift of columns and mix of rows.
func (t *whirlpoolTable) mix(s *[8]uint64) (out [8]uint64) {
	for i := range out {
		out[i] = t.c[0][byte(s[i]>>56)] ^ t.c[1][byte(s[(i+7)&7]>>48)] ^ t.c[2][byte(s[(i+6)&7]>>40)] ^
			t.c[3][byte(s[(i+5)&7]>>32)] ^ t.c[4][byte(s[(i+4)&7]>>24)] ^ t.c[5][byte(s[(i+3)&7]>>16)] ^
			t.c[6][byte(s[(i+2)&7]>>8)] ^ t.c[7][byte(s[(i+1)&7])]
	}
	return out
}

// absorb folds one block into the chaining value h.
func (t *whirlpoolTable) absorb(h *[8]uint64, block []byte) {
	var in, state [8]uint64
	key := *h
	for i := range in {
		in[i] = binary.BigEndian.Uint64(block[8*i:])
		state[i] = in[i] ^ key[i]
	}
	for _, rc := range t.rc {
		key = t.mix(&key)
		key[0] ^= rc
		state = t.mix(&state)
		for i := range state {
			state[i] ^= key[i]
		}
	}
	for i := range h {
		h[i] ^= state[i] ^ in[i]
	}
}

// Whirlpool is the Whirlpool digest of s (ISO/IEC 10118-3:2004, the final version), which PHP calls "whirlpool".
func Whirlpool(s string) [64]byte {
	var h [8]uint64
	rest := []byte(s)
	for len(rest) >= whirlpoolBlock {
		whirlpoolTables.absorb(&h, rest)
		rest = rest[whirlpoolBlock:]
	}
	var last [2 * whirlpoolBlock]byte // the rest, a one bit, zeros, and the length in 256 bits
	n := copy(last[:], rest)
	last[n] = 0x80
	end := whirlpoolBlock
	if n+1+32 > whirlpoolBlock {
		end = 2 * whirlpoolBlock
	}
	binary.BigEndian.PutUint64(last[end-16:], uint64(len(s))>>61)
	binary.BigEndian.PutUint64(last[end-8:], uint64(len(s))<<3)
	for i := 0; i < end; i += whirlpoolBlock {
		whirlpoolTables.absorb(&h, last[i:])
	}
	var out [64]byte
	for i, x := range h {
		binary.BigEndian.PutUint64(out[8*i:], x)
	}
	return out
}

// HashIP is how mosparo stores a client address: the hex Whirlpool digest of its text, exactly as the web server or the
// trusted proxy gave it. It is not keyed, and two notations of one IPv6 address differ.
func HashIP(ip string) string {
	sum := Whirlpool(ip)
	return hex.EncodeToString(sum[:])
}
