package housecount_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheReadmesProgramRuns pastes it into an empty folder. Only the server's URL, the key and the place of this module differ.
func TestTheReadmesProgramRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	_, rest, _ := strings.Cut(string(readme), "```go\npackage main\n")
	program, _, found := strings.Cut(rest, "```\n")
	equal(t, "the README has a program", found, true)
	program = strings.NewReplacer("https://count.example.org", os.Getenv("CLIENTS_URL"), "hck_…", os.Getenv("CLIENTS_KEY")).Replace(program)
	here, err := os.Getwd()
	must(t, err)
	folder, name := t.TempDir(), "github.com/housecount/housecount/clients/go"
	module := "module example\n\ngo 1.23\n\nrequire " + name + " v0.0.0\n\nreplace " + name + " => " + here + "\n"
	must(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte(module), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte("package main\n"+program), 0o600))
	command := exec.Command("go", "run", ".")
	command.Dir = folder
	output, err := command.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "2 []") {
		t.Fatalf("%v: %s", err, output)
	}
}
