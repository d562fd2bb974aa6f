// Command verify checks what Muniment publishes with the Go transparency log library alone.
//
//	verify tree DIR                    DIR holds checkpoint, log.vkey, tile/... as C2SP tlog-tiles lays them out,
//	                                   and perhaps witness.vkey
//	verify proof PROOF ENTRY VKEY...   files: a .tlog-proof, the entry's bytes, the log's verifier key and those of
//	                                   witnesses, who must have cosigned
//	verify consistency OLD ROOT NEW ROOT [HASH...]      roots and hashes in base64
//	verify claims                      reads claims from standard input, a line each, and answers 1 (holds) or 0 for each:
//	                                   inclusion LEAF INDEX SIZE ROOT [HASH...], consistency OLD ROOT NEW ROOT [HASH...];
//	                                   "-" is a hash of no bytes
//	verify evidence FILE VKEY...       a file of evidence, and the log's verifier keys as text
//
// It prints one line and exits 0 when everything holds, 1 when something does not.
//
// Build: GO111MODULE=off GOPATH=<where golang.org/x/mod is> go build verify.go
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // 256 hashes in a tile
const few = 300  // large trees: so many of the first and of the last entries are proven

// witness verifies cosignature/v1 lines (C2SP tlog-cosignature, type 0x04), which x/mod does not know.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }
func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(w.key, append([]byte(head), msg...), sig[8:])
}

func newWitness(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("witness.vkey: not name+hash+key")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 0x04 {
		return nil, errors.New("witness.vkey: not a cosignature key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if parts[1] != fmt.Sprintf("%x", sum[:4]) {
		return nil, errors.New("witness.vkey: wrong key ID")
	}
	return witness{parts[0], binary.BigEndian.Uint32(sum[:4]), key[1:]}, nil
}

// openCheckpoint verifies every signature by a given key; all of the keys must have signed.
func openCheckpoint(data []byte, log note.Verifier, others ...note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(data, note.VerifierList(append(others, log)...))
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(opened.Sigs) != 1+len(others) {
		return tlog.Tree{}, fmt.Errorf("%d signatures verify, not %d", len(opened.Sigs), 1+len(others))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != log.Name() {
		return tlog.Tree{}, errors.New("the note is not three lines that start with the origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, errors.New("bad size")
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func readText(path string) (string, error) {
	data, err := os.ReadFile(path)
	return strings.TrimSuffix(string(data), "\n"), err
}

// files reads tiles from a folder; TileHashReader checks them against the root hash.
type files string

func (dir files) Height() int                     { return height }
func (dir files) SaveTiles([]tlog.Tile, [][]byte) {}
func (dir files) path(tile tlog.Tile) string {
	return filepath.Join(string(dir), strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
}
func (dir files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var result [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(dir.path(tile))
		if err != nil {
			return nil, err
		}
		result = append(result, data)
	}
	return result, nil
}

// hashes is every stored hash of a tree, in memory.
type hashes []tlog.Hash

func (all hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var result []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(all)) {
			return nil, fmt.Errorf("hash %d is not there yet", index)
		}
		result = append(result, all[index])
	}
	return result, nil
}

// readEntries reads all entry bundles and builds the tree from nothing but the entries.
func readEntries(dir files, size int64) (hashes, []tlog.Hash, int, error) {
	var all hashes
	var leaves []tlog.Hash
	bundles := 0
	for first := int64(0); first < size; first += 256 {
		width := size - first
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: height, L: 0, N: first / 256, W: int(width)}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(string(dir), path))
		if err != nil {
			return nil, nil, 0, err
		}
		bundles++
		for i := int64(0); i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, nil, 0, fmt.Errorf("%s is cut short", path)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			leaf := tlog.RecordHash(data[2:end])
			more, err := tlog.StoredHashesForRecordHash(first+i, leaf, all)
			if err != nil {
				return nil, nil, 0, err
			}
			all, leaves, data = append(all, more...), append(leaves, leaf), data[end:]
		}
		if len(data) != 0 {
			return nil, nil, 0, fmt.Errorf("%s has bytes left over", path)
		}
	}
	return all, leaves, bundles, nil
}

// checkTiles compares every tile with the tree built from the entries, and finds files that do not belong.
func checkTiles(dir files, size int64, all hashes, bundles int) (int, error) {
	var tiles []tlog.Tile
	for _, tile := range tlog.NewTiles(height, 0, size) {
		// NewTiles lists every width a partial tile ever had; the last one is that of this size.
		if n := len(tiles); n > 0 && tiles[n-1].L == tile.L && tiles[n-1].N == tile.N {
			tiles = tiles[:n-1]
		}
		tiles = append(tiles, tile)
	}
	for _, tile := range tiles {
		want, err := tlog.ReadTileData(tile, all)
		if err != nil {
			return 0, err
		}
		data, err := os.ReadFile(dir.path(tile))
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(data, want) {
			return 0, fmt.Errorf("%s is not what the entries give", dir.path(tile))
		}
	}
	count := 0
	err := filepath.WalkDir(filepath.Join(string(dir), "tile"), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			count++
		}
		return err
	})
	if err == nil && count != len(tiles)+bundles {
		err = fmt.Errorf("%d files under tile/, not %d", count, len(tiles)+bundles)
	}
	return len(tiles), err
}

func checkProofs(tree tlog.Tree, reader tlog.HashReader, all hashes, leaves []tlog.Hash) (int, int, error) {
	proven := 0
	for index := int64(0); index < tree.N; index++ {
		if index >= few && index < tree.N-few {
			continue
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err == nil {
			err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaves[index])
		}
		if err != nil {
			return 0, 0, fmt.Errorf("inclusion of %d: %w", index, err)
		}
		proven++
	}
	consistent := 0
	for _, old := range []int64{1, 2, 3, 7, 128, 255, 256, 257, 511, 512, 65535, 65536, 65537, tree.N / 2, tree.N - 1, tree.N} {
		if old < 1 || old > tree.N {
			continue
		}
		oldRoot, err := tlog.TreeHash(old, all)
		if err != nil {
			return 0, 0, err
		}
		proof, err := tlog.ProveTree(tree.N, old, reader)
		if err == nil {
			err = tlog.CheckTree(proof, tree.N, tree.Hash, old, oldRoot)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("consistency from %d: %w", old, err)
		}
		consistent++
	}
	return proven, consistent, nil
}

func checkTree(dir files) error {
	vkey, err := readText(filepath.Join(string(dir), "log.vkey"))
	if err != nil {
		return err
	}
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	var others []note.Verifier
	if vkey, err := readText(filepath.Join(string(dir), "witness.vkey")); err == nil {
		other, err := newWitness(vkey)
		if err != nil {
			return err
		}
		others = append(others, other)
	}
	data, err := os.ReadFile(filepath.Join(string(dir), "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(data, log, others...)
	if err != nil {
		return err
	}
	all, leaves, bundles, err := readEntries(dir, tree.N)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, dir)
	for name, source := range map[string]tlog.HashReader{"entry bundles": all, "tiles": reader} {
		root, err := tlog.TreeHash(tree.N, source)
		if err != nil {
			return err
		}
		if root != tree.Hash {
			return fmt.Errorf("the %s give another root hash", name)
		}
	}
	tiles, err := checkTiles(dir, tree.N, all, bundles)
	if err != nil {
		return err
	}
	proven, consistent, err := checkProofs(tree, reader, all, leaves)
	if err != nil {
		return err
	}
	fmt.Printf("ok size=%d signatures=%d tiles=%d bundles=%d inclusion=%d consistency=%d\n",
		tree.N, 1+len(others), tiles, bundles, proven, consistent)
	return nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	var result []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		result = append(result, hash)
	}
	return result, nil
}

func checkProof(proofPath, entryPath, vkeyPath string, witnessPaths ...string) error {
	data, err := os.ReadFile(proofPath)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryPath)
	if err != nil {
		return err
	}
	vkey, err := readText(vkeyPath)
	if err != nil {
		return err
	}
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	var others []note.Verifier
	for _, path := range witnessPaths {
		vkey, err := readText(path)
		if err != nil {
			return err
		}
		other, err := newWitness(vkey)
		if err != nil {
			return err
		}
		others = append(others, other)
	}
	head, checkpoint, found := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a .tlog-proof")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	proof, err := parseHashes(lines[1:])
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(checkpoint, log, others...)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("ok index=%d size=%d\n", index, tree.N)
	return nil
}

// checkClaim says whether one line of "verify claims" holds.
func checkClaim(fields []string) error {
	if fields[0] == "inclusion" {
		index, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return err
		}
		all, err := parseHashes(append([]string{fields[1], fields[4]}, fields[5:]...))
		if err != nil {
			return err
		}
		return tlog.CheckRecord(all[2:], size, all[1], index, all[0])
	}
	var sizes [2]int64
	for i := range sizes {
		size, err := strconv.ParseInt(fields[1+2*i], 10, 64)
		if err != nil {
			return err
		}
		sizes[i] = size
	}
	all, err := parseHashes(append([]string{fields[2], fields[4]}, fields[5:]...))
	if err != nil {
		return err
	}
	return tlog.CheckTree(all[2:], sizes[1], all[1], sizes[0], all[0])
}

func checkClaims() error {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	for input.Scan() {
		fields := strings.Fields(input.Text())
		if len(fields) < 5 {
			return fmt.Errorf("not a claim: %q", input.Text())
		}
		answer := "1\n"
		if checkClaim(fields) != nil {
			answer = "0\n"
		}
		output.WriteString(answer)
	}
	if err := input.Err(); err != nil {
		return err
	}
	return output.Flush()
}

// head opens a signed note under trusted keys and reads its three lines.
func head(text string, keys note.Verifiers) (int64, tlog.Hash, error) {
	opened, err := note.Open([]byte(text), keys)
	if err != nil {
		return 0, tlog.Hash{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 {
		return 0, tlog.Hash{}, errors.New("not a checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0, tlog.Hash{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return size, root, err
}

// checkEvidence says whether a file of evidence proves by itself that keys of the log signed two histories.
func checkEvidence(path string, vkeys []string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var found struct {
		Known, Shown struct{ Note string }
		Proof        *struct {
			Root, Size string
			Hashes     []string
		}
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	var keys []note.Verifier
	for _, vkey := range vkeys {
		key, err := note.NewVerifier(vkey)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	known, knownRoot, err := head(found.Known.Note, note.VerifierList(keys...))
	if err != nil {
		return fmt.Errorf("known head: %w", err)
	}
	shown, shownRoot, err := head(found.Shown.Note, note.VerifierList(keys...))
	if err != nil {
		return fmt.Errorf("shown head: %w", err)
	}
	if known == shown && knownRoot != shownRoot {
		fmt.Printf("ok known=%d shown=%d\n", known, shown)
		return nil
	}
	if found.Proof == nil || found.Proof.Size != strconv.FormatInt(shown, 10) {
		return errors.New("no proof that leads to the shown head")
	}
	before, err := tlog.ParseHash(found.Proof.Root)
	if err != nil {
		return err
	}
	var proof tlog.TreeProof
	for _, text := range found.Proof.Hashes {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	if err := tlog.CheckTree(proof, shown, shownRoot, known, before); err != nil {
		return err
	}
	if before == knownRoot {
		return errors.New("the shown tree begins with the known one")
	}
	fmt.Printf("ok known=%d shown=%d\n", known, shown)
	return nil
}

func main() {
	err := errors.New("usage: verify tree DIR | proof PROOF ENTRY VKEY... | consistency OLD ROOT NEW ROOT [HASH...] | claims | evidence FILE VKEY...")
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 2 && arguments[0] == "tree":
		err = checkTree(files(arguments[1]))
	case len(arguments) >= 4 && arguments[0] == "proof":
		err = checkProof(arguments[1], arguments[2], arguments[3], arguments[4:]...)
	case len(arguments) >= 5 && arguments[0] == "consistency":
		if err = checkClaim(arguments); err == nil {
			fmt.Printf("ok old=%s new=%s\n", arguments[1], arguments[3])
		}
	case len(arguments) == 1 && arguments[0] == "claims":
		err = checkClaims()
	case len(arguments) >= 3 && arguments[0] == "evidence":
		err = checkEvidence(arguments[1], arguments[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "BAD", err)
		os.Exit(1)
	}
}
