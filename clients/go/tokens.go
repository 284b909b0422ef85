package housecount

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const secretBytesMin = 32

// TokenClaims names the viewer that a token is for, and its scope.
type TokenClaims struct {
	Viewer string
	// Stage is the stage that it is for. A token needs Stage or StagePrefix, and not both.
	Stage string
	// StagePrefix is how the ids of its stages begin; a pointer to "" is all stages.
	StagePrefix *string
	// Session is the only session that it is for, if not empty.
	Session string
	// TTL is how long it holds.
	TTL time.Duration
	// Audience is the node's auth.audience, where it has one.
	Audience string
	// NotBefore is when it begins to hold, if not zero.
	NotBefore time.Time
	// Labels are the viewer's, such as {"country": "NO"}. They win over those in heartbeats.
	Labels map[string]string
	// Streams is the viewer's most streams, in place of the node's limits.streams_per_viewer, if not nil.
	Streams *int
	// KeyID is the key's name, where the node has several.
	KeyID string
}

// SignToken signs a viewer's token as a node's auth.viewer_keys wants it (HS256). The secret is the text of the node's key file
// (secret:TEXT), or the bare secret. Call it in a backend only: a program with the secret can be any viewer.
func SignToken(secret string, claims TokenClaims) (string, error) {
	key := []byte(strings.TrimPrefix(strings.TrimSpace(secret), "secret:"))
	if len(key) < secretBytesMin {
		return "", fmt.Errorf("housecount: the secret has %d bytes; a node takes %d or more", len(key), secretBytesMin)
	}
	if (claims.Stage == "") == (claims.StagePrefix == nil) {
		return "", errors.New("housecount: give a Stage or a StagePrefix, and not both")
	}
	head := struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid,omitempty"`
	}{"HS256", "JWT", claims.KeyID}
	body := struct {
		Viewer      string            `json:"sub"`
		Stage       string            `json:"stage,omitempty"`
		StagePrefix *string           `json:"stagePrefix,omitempty"`
		Session     string            `json:"session,omitempty"`
		Audience    string            `json:"aud,omitempty"`
		NotBefore   int64             `json:"nbf,omitempty"`
		Issued      int64             `json:"iat"`
		Expires     int64             `json:"exp"`
		Labels      map[string]string `json:"labels,omitempty"`
		Streams     *int              `json:"streams,omitempty"`
	}{claims.Viewer, claims.Stage, claims.StagePrefix, claims.Session, claims.Audience, 0, time.Now().Unix(), time.Now().Add(claims.TTL).Unix(), claims.Labels, claims.Streams}
	if !claims.NotBefore.IsZero() {
		body.NotBefore = claims.NotBefore.Unix()
	}
	parts := make([]string, 0, 3)
	for _, part := range []any{head, body} {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(parts, ".")))
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString(mac.Sum(nil))), "."), nil
}
