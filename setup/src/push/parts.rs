//! A large file is uploaded to the bucket in parts; an interrupted upload is continued.

use crate::Failure;
use crate::aws::{Aws, said};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use std::path::Path;
use terminal::say;

/// S3 accepts 10,000 parts of an object, each of at least 5 MB except the last.
const MOST_PARTS: u64 = 10_000;
/// The smallest part, in bytes.
const SMALLEST: u64 = 5 << 20;

/// The parts of a file: all but the last have the same size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    bytes: u64,
    size: u64,
}

impl Parts {
    /// Parts of about this size, in bytes.
    pub(super) fn new(bytes: u64, size: u64) -> Parts {
        Parts { bytes, size: size.max(SMALLEST).max(bytes.div_ceil(MOST_PARTS)) }
    }

    fn count(self) -> u64 {
        self.bytes.div_ceil(self.size)
    }

    /// Where a part begins, counted from 1, and its length.
    fn part(self, number: u64) -> (u64, u64) {
        let offset = (number - 1) * self.size;
        (offset, self.size.min(self.bytes - offset))
    }

    /// Whether existing parts, by their numbers and sizes, are the first ones of this division.
    fn begins_with(self, there: &[(u64, u64)]) -> bool {
        let fits = |(index, &(number, bytes)): (usize, &(u64, u64))| {
            number == index as u64 + 1 && number <= self.count() && self.part(number).1 == bytes
        };
        there.iter().enumerate().all(fits)
    }
}

/// One object's upload in parts.
pub(super) struct Upload<'a> {
    pub(super) aws: &'a Aws,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) file: &'a Path,
    pub(super) parts: Parts,
}

impl Upload<'_> {
    /// Sends the missing parts and makes the parts an object.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let (id, mut there) = match self.unfinished().await? {
            Some(unfinished) => unfinished,
            None => (self.begin().await?, Vec::new()),
        };
        let (client, count) = (&self.aws.objects, self.parts.count());
        for number in there.len() as u64 + 1..=count {
            let (offset, length) = self.parts.part(number);
            let body = ByteStream::read_from().path(self.file).offset(offset).length(Length::Exact(length));
            let body = body.build().await.map_err(|error| {
                Failure::from(format!("cannot read {} from byte {offset} on: {error}", self.file.display()))
            })?;
            let put = client.upload_part().bucket(self.bucket).key(self.key).upload_id(&id);
            let put = put.part_number(number as i32).body(body).send().await;
            let tag = put.map_err(|error| said("upload a part of", self.key, error))?.e_tag;
            there.push(completed(number, tag));
            say!("    part {number} of {count}");
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(there)).build();
        let done = client.complete_multipart_upload().bucket(self.bucket).key(self.key).upload_id(&id);
        let done = done.multipart_upload(parts).send().await;
        done.map(drop).map_err(|error| said("put together", self.key, error))
    }

    async fn begin(&self) -> Result<String, Failure> {
        let begun = self.aws.objects.create_multipart_upload().bucket(self.bucket).key(self.key).send().await;
        let id = begun.map_err(|error| said("begin to upload", self.key, error))?.upload_id;
        id.ok_or_else(|| Failure::from(format!("S3 returned no id for the upload of {}", self.key)))
    }

    /// An interrupted upload of this object, with its parts. The key is the content's hash, so the parts are
    /// right if they have our sizes.
    async fn unfinished(&self) -> Result<Option<(String, Vec<CompletedPart>)>, Failure> {
        let listed =
            self.aws.objects.list_multipart_uploads().bucket(self.bucket).prefix(self.key).send().await;
        let listed = listed.map_err(|error| said("look for parts of", self.key, error))?;
        for upload in listed.uploads().iter().filter(|upload| upload.key() == Some(self.key)) {
            let Some(id) = upload.upload_id() else { continue };
            let mut pages = self.aws.objects.list_parts().bucket(self.bucket).key(self.key).upload_id(id);
            let (mut sizes, mut there) = (Vec::new(), Vec::new());
            loop {
                let page =
                    pages.clone().send().await.map_err(|error| said("look for parts of", self.key, error))?;
                for part in page.parts() {
                    let number = part.part_number().unwrap_or(0) as u64;
                    sizes.push((number, part.size().unwrap_or(0) as u64));
                    there.push(completed(number, part.e_tag().map(str::to_owned)));
                }
                match page.next_part_number_marker() {
                    Some(marker) if page.is_truncated() == Some(true) => {
                        pages = pages.part_number_marker(marker)
                    }
                    _ => break,
                }
            }
            if self.parts.begins_with(&sizes) {
                return Ok(Some((id.to_owned(), there)));
            }
        }
        Ok(None)
    }
}

fn completed(number: u64, tag: Option<String>) -> CompletedPart {
    CompletedPart::builder().part_number(number as i32).set_e_tag(tag).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_and_are_no_more_than_are_taken() {
        for (bytes, size) in
            [(1, 1), (SMALLEST, SMALLEST), (12 << 20, SMALLEST), (5_000_000_000_000, 1 << 30)]
        {
            let parts = Parts::new(bytes, size);
            assert!(parts.count() <= MOST_PARTS, "{parts:?}");
            let mut end = 0;
            for number in 1..=parts.count() {
                let (offset, length) = parts.part(number);
                assert_eq!(offset, end, "{parts:?}");
                assert!(length >= SMALLEST || number == parts.count(), "{parts:?}");
                end += length;
            }
            assert_eq!(end, bytes);
        }
    }

    #[test]
    fn only_parts_of_the_same_division_are_gone_on_with() {
        let parts = Parts::new(12 << 20, SMALLEST);
        assert_eq!(parts.count(), 3);
        let whole = [(1, SMALLEST), (2, SMALLEST), (3, 2 << 20)];
        (0..=3).for_each(|count| assert!(parts.begins_with(&whole[..count])));
        assert!(!parts.begins_with(&whole[1..]), "a gap");
        assert!(!parts.begins_with(&[(1, 2 * SMALLEST)]), "other sizes");
        assert!(!parts.begins_with(&[whole[0], whole[1], whole[2], (4, 1)]), "one too many");
    }
}
