//! An empty folder in which a user types commands, and the pictures that he has.

use data_prep::generate::ClassSet;
use image::RgbImage;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::binary;

/// The folder.
pub(crate) struct Desk(tempfile::TempDir);

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Pictures of ten kinds of patterns, a folder for each.
    pub(crate) fn patterns(&self, folder: &str, per_class: u64) {
        for (class, name) in ClassSet::Novel.names().into_iter().enumerate() {
            let folder = self.path(folder).join(name);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..per_class {
                let rgb = ClassSet::Novel.draw(class, number, 48, 11);
                RgbImage::from_raw(48, 48, rgb).unwrap().save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }

    /// Pictures in one folder, and a table with their classes.
    pub(crate) fn scans(&self) {
        self.patterns("sorted", 3);
        let mut table = String::from("file,label\n");
        fs::create_dir_all(self.path("scans")).unwrap();
        for name in ClassSet::Novel.names() {
            for number in 0..3 {
                let file = format!("{name}-{number}.png");
                fs::copy(
                    self.path("sorted").join(name).join(format!("{number}.png")),
                    self.path("scans").join(&file),
                )
                .unwrap();
                table += &format!("{file},{name}\n");
            }
        }
        fs::write(self.path("scans.csv"), table).unwrap();
    }

    /// A folder of [`Desk::patterns`] as a zip.
    pub(crate) fn zipped(&self, folder: &str, file: &str) {
        let mut writer = zip::ZipWriter::new(fs::File::create(self.path(file)).unwrap());
        for class in fs::read_dir(self.path(folder)).unwrap().flatten() {
            for image in fs::read_dir(class.path()).unwrap().flatten() {
                let name = format!("{}/{}", class.file_name().display(), image.file_name().display());
                writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
                writer.write_all(&fs::read(image.path()).unwrap()).unwrap();
            }
        }
        writer.finish().unwrap();
    }

    /// A small archive in CIFAR-10's binary form.
    pub(crate) fn cifar(&self, file: &str) {
        let packed =
            flate2::write::GzEncoder::new(fs::File::create(self.path(file)).unwrap(), Default::default());
        let mut archive = tar::Builder::new(packed);
        for (name, per_class) in [("data_batch_1.bin", 3), ("test_batch.bin", 1)] {
            let mut content = Vec::new();
            for (class, number) in (0..10).flat_map(|class| (0..per_class).map(move |number| (class, number)))
            {
                let rgb = ClassSet::Novel.draw(class, number, 32, 5);
                content.push(class as u8);
                (0..3).for_each(|plane| content.extend(rgb.iter().skip(plane).step_by(3)));
            }
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &content[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
    }

    /// A command of baton, typed in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("baton"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).env_remove("BATON_ROOT");
        command
    }

    /// The output of a command that succeeds.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines of JSON of a command that succeeds.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        self.says(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The exit code and the words of a command that fails.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A file of JSON.
    pub(crate) fn read_json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}
