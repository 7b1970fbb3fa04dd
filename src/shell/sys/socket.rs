//! Sockets and eventfds.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// What a non-blocking send came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// So many bytes went to the kernel.
    Bytes(usize),
    /// The socket buffer is full.
    Full,
}

/// An eventfd with count 0. Blocking: a ring that reads an eventfd marked non-blocking gets EAGAIN
/// instead of waiting.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the returned descriptor is new and owned by nobody else.
    unsafe {
        let fd = checked(libc::eventfd(0, libc::EFD_CLOEXEC).into())?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Adds one to an eventfd and so wakes whoever reads it.
pub(crate) fn signal_eventfd(fd: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the buffer outlives the call.
    unsafe { checked(libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) as _) }.map(drop)
}

fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value outlives the call and its length is given.
    unsafe {
        checked(
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
            .into(),
        )
    }
    .map(drop)
}

/// A stream socket bound to `address`, not yet listening. `share_port` lets other sockets of this
/// process bind the same port (SO_REUSEPORT). SO_REUSEADDR is always set, so that connections of an
/// earlier broker in TIME_WAIT are no obstacle.
pub(crate) fn bind(address: SocketAddr, share_port: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the returned descriptor is new and owned by nobody else.
    let fd = unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        OwnedFd::from_raw_fd(checked(libc::socket(family, kind, 0).into())? as i32)
    };
    let borrowed = std::os::fd::AsFd::as_fd(&fd);
    set_option(borrowed, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if share_port {
        set_option(borrowed, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the name outlives the call and its length is given.
            unsafe {
                let length = size_of::<libc::sockaddr_in>() as u32;
                checked(libc::bind(fd.as_raw_fd(), (&raw const name).cast(), length).into())?;
            }
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: the name outlives the call and its length is given.
            unsafe {
                let length = size_of::<libc::sockaddr_in6>() as u32;
                checked(libc::bind(fd.as_raw_fd(), (&raw const name).cast(), length).into())?;
            }
        }
    }
    Ok(fd)
}

/// Sets the sizes of a socket's buffers where they are given.
pub(crate) fn set_buffers(
    fd: BorrowedFd<'_>,
    send_bytes: Option<u32>,
    receive_bytes: Option<u32>,
) -> io::Result<()> {
    let clamp = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
    if let Some(bytes) = send_bytes {
        set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, clamp(bytes))?;
    }
    if let Some(bytes) = receive_bytes {
        set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, clamp(bytes))?;
    }
    Ok(())
}

/// Lets peers connect to a bound socket.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { checked(libc::listen(fd.as_raw_fd(), backlog).into()) }.map(drop)
}

/// The address a socket is bound to.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    TcpListener::from(fd.try_clone_to_owned()?).local_addr()
}

/// Runs `f` with a std stream over a borrowed descriptor, without closing it afterwards.
fn with_stream<T>(fd: BorrowedFd<'_>, f: impl FnOnce(&TcpStream) -> T) -> T {
    // SAFETY: the descriptor is borrowed for the call, and `ManuallyDrop` keeps it open.
    let stream = unsafe { std::mem::ManuallyDrop::new(TcpStream::from_raw_fd(fd.as_raw_fd())) };
    f(&stream)
}

/// Who is at the other end.
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    with_stream(fd, TcpStream::peer_addr)
}

/// Sends small segments at once (TCP_NODELAY): replies are whole when they are handed over.
pub(crate) fn set_no_delay(fd: BorrowedFd<'_>) -> io::Result<()> {
    with_stream(fd, |stream| stream.set_nodelay(true))
}

/// Lets the kernel find out about peers that vanished without a word: first probe after two
/// minutes of silence, given up after five unanswered ones 15 s apart.
pub(crate) fn keep_alive(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 120)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 15)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 5)
}

fn sent(result: io::Result<usize>) -> io::Result<Sent> {
    match result {
        Ok(count) => Ok(Sent::Bytes(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Full),
        // Nothing was sent; the caller tries again on its next turn.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Sent::Bytes(0)),
        Err(error) => Err(error),
    }
}

/// Sends these pieces now, as far as the socket buffer takes them. `more`: a file range follows, so
/// the kernel may wait for it before it sends a short segment.
pub(crate) fn send_gather(
    fd: BorrowedFd<'_>,
    pieces: &[io::IoSlice<'_>],
    more: bool,
) -> io::Result<Sent> {
    // SAFETY: an all-zero msghdr is valid; `IoSlice` has the layout of iovec by std's promise; the
    // slices outlive the call and are only read.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = pieces.as_ptr().cast_mut().cast();
        message.msg_iovlen = pieces.len();
        let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if more {
            flags |= libc::MSG_MORE;
        }
        sent(checked(libc::sendmsg(fd.as_raw_fd(), &raw const message, flags) as _))
    }
}

/// Sends up to `length` bytes of a file from `position` on a non-blocking socket, without passing
/// them through this process. `Sent::Bytes(0)` with a non-zero `length` means the file ends before.
pub(crate) fn send_file(
    socket: BorrowedFd<'_>,
    file: &File,
    position: u64,
    length: usize,
) -> io::Result<Sent> {
    let mut offset = position as i64;
    // SAFETY: the offset outlives the call.
    let result =
        unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length) };
    match checked(result as _) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Sent::Full),
        other => sent(other),
    }
}
