package testkit

import (
	"net/url"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// NewS3 returns a bucket on a server that speaks S3. Any credentials are accepted.
func NewS3(t testing.TB) *Bucket {
	t.Helper()
	objects := s3Objects{t, s3mem.New()}
	if err := objects.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	b, host := NewBucket(t, gofakes3.New(objects).Server(), objects)
	b.URL = "s3://" + bucketName + "?region=us-east-1&use_path_style=true&endpoint=" + url.QueryEscape("http://"+host)
	return b
}

type s3Objects struct {
	t testing.TB
	*s3mem.Backend
}

func (o s3Objects) Keys() []string {
	o.t.Helper()
	list, err := o.ListBucket(bucketName, nil, gofakes3.ListBucketPage{})
	if err != nil {
		o.t.Error(err)
		return nil
	}
	keys := []string{}
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	return keys
}

func (o s3Objects) Header(key string) map[string]string {
	o.t.Helper()
	object, err := o.HeadObject(bucketName, key)
	if err != nil {
		o.t.Error(err)
		return nil
	}
	return object.Metadata
}

func (o s3Objects) Place(key, content string) {
	o.t.Helper()
	if _, err := o.PutObject(bucketName, key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil); err != nil {
		o.t.Error(err)
	}
}

func (o s3Objects) Remove(key string) {
	o.t.Helper()
	if _, err := o.DeleteObject(bucketName, key); err != nil {
		o.t.Error(err)
	}
}
