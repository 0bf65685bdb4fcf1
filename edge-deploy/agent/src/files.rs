//! The disk, as far as an agent and a launcher need it. What is written lasts once it is synced: a file's bytes by
//! [`Files::sync`], its name by [`Files::sync_folder`].

use std::any::Any;
use std::io;

/// Files below the agent's folder; paths have `/` and no `..`.
pub trait Files {
    /// A small file whole. Errors: it is longer than that.
    fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>>;

    /// Shows a file's content in parts.
    fn each(&self, path: &str, take: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// A file's length.
    fn length(&self, path: &str) -> io::Result<u64>;

    /// Names in a folder; none if it is not there.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Writes a file anew.
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Adds to a file, which need not be there.
    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// The same content under another name.
    fn link(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Makes a file a program.
    fn program(&mut self, path: &str) -> io::Result<()>;

    /// Another name for a file or folder, in the same folder; a file of that name is replaced.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, or a folder with all in it; fine if there is none.
    fn remove(&mut self, path: &str) -> io::Result<()>;

    /// Makes a folder and those above it; fine if it is there.
    fn folder(&mut self, path: &str) -> io::Result<()>;

    /// Makes a file's content last.
    fn sync(&mut self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder last.
    fn sync_folder(&mut self, path: &str) -> io::Result<()>;

    /// Free bytes.
    fn free(&self) -> io::Result<u64>;

    /// Keeps others from changing the pointer until it is dropped.
    fn lock(&self) -> io::Result<Box<dyn Any>>;
}
