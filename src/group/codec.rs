//! Interim.
use bytes::Bytes;

use super::{Committed, GroupValue, LogEntry, StoredMember};
use crate::time::Timestamp;

pub(super) fn subscribed_topics(b: &[u8]) -> Option<Vec<Box<str>>> {
    let mut r = R(b);
    let _version = r.i16()?;
    let n = r.i32()?;
    (0..n).map(|_| r.str().flatten()).collect()
}

struct R<'a>(&'a [u8]);
impl<'a> R<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (a, b) = self.0.split_at_checked(n)?;
        self.0 = b;
        Some(a)
    }
    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }
    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
    fn str(&mut self) -> Option<Option<Box<str>>> {
        let n = self.i16()?;
        if n < 0 {
            return Some(None);
        }
        Some(Some(std::str::from_utf8(self.take(n as usize)?).ok()?.into()))
    }
    fn bytes(&mut self) -> Option<Bytes> {
        let n = self.i32()?;
        Some(Bytes::copy_from_slice(self.take(usize::try_from(n).ok()?)?))
    }
}
fn put_str(out: &mut Vec<u8>, s: Option<&str>) {
    match s {
        None => out.extend((-1i16).to_be_bytes()),
        Some(s) => {
            out.extend((s.len() as i16).to_be_bytes());
            out.extend(s.as_bytes());
        }
    }
}
fn put_bytes(out: &mut Vec<u8>, b: &[u8]) {
    out.extend((b.len() as i32).to_be_bytes());
    out.extend(b);
}
impl LogEntry {
    /// x
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut key = Vec::new();
        let mut v = Vec::new();
        match self {
            LogEntry::Offset { group, topic, partition, committed } => {
                key.extend(1i16.to_be_bytes());
                put_str(&mut key, Some(group));
                put_str(&mut key, Some(topic));
                key.extend(partition.to_be_bytes());
                let Some(c) = committed else { return (key, None) };
                if let Some(e) = c.expires {
                    v.extend(1i16.to_be_bytes());
                    v.extend(c.offset.to_be_bytes());
                    put_str(&mut v, Some(&c.metadata));
                    v.extend(c.at.0.to_be_bytes());
                    v.extend(e.0.to_be_bytes());
                } else {
                    v.extend(3i16.to_be_bytes());
                    v.extend(c.offset.to_be_bytes());
                    v.extend(c.leader_epoch.to_be_bytes());
                    put_str(&mut v, Some(&c.metadata));
                    v.extend(c.at.0.to_be_bytes());
                }
            }
            LogEntry::Group { group, value } => {
                key.extend(2i16.to_be_bytes());
                put_str(&mut key, Some(group));
                let Some(g) = value else { return (key, None) };
                v.extend(3i16.to_be_bytes());
                put_str(&mut v, Some(g.protocol_type.as_deref().unwrap_or("")));
                v.extend(g.generation.to_be_bytes());
                put_str(&mut v, g.protocol.as_deref());
                put_str(&mut v, g.leader.as_deref());
                v.extend(g.since.map_or(-1, |t| t.0).to_be_bytes());
                v.extend((g.members.len() as i32).to_be_bytes());
                for m in &g.members {
                    put_str(&mut v, Some(&m.id));
                    put_str(&mut v, m.instance.as_deref());
                    put_str(&mut v, Some(&m.client_id));
                    put_str(&mut v, Some(&m.client_host));
                    v.extend(m.rebalance_timeout_ms.to_be_bytes());
                    v.extend(m.session_timeout_ms.to_be_bytes());
                    put_bytes(&mut v, &m.subscription);
                    put_bytes(&mut v, &m.assignment);
                }
            }
        }
        (key, Some(v))
    }
    /// x
    pub fn decode(k: &[u8], v: Option<&[u8]>) -> Result<Option<LogEntry>, String> {
        Self::dec(k, v).ok_or_else(|| "bad".to_owned())
    }
    fn dec(k: &[u8], v: Option<&[u8]>) -> Option<Option<LogEntry>> {
        let mut k = R(k);
        match k.i16()? {
            0 | 1 => {
                let group = (&*k.str()??).into();
                let topic = k.str()??;
                let partition = k.i32()?;
                let committed = match v {
                    None => None,
                    Some(v) => {
                        let mut r = R(v);
                        let version = r.i16()?;
                        let offset = r.i64()?;
                        let leader_epoch = if version >= 3 { r.i32()? } else { -1 };
                        let metadata = r.str()??;
                        let at = Timestamp(r.i64()?);
                        let expires = if version == 1 { Some(Timestamp(r.i64()?)) } else { None };
                        Some(Committed { offset, leader_epoch, metadata, at, expires })
                    }
                };
                Some(Some(LogEntry::Offset { group, topic, partition, committed }))
            }
            2 => {
                let group = (&*k.str()??).into();
                let Some(v) = v else { return Some(Some(LogEntry::Group { group, value: None })) };
                let mut r = R(v);
                let _version = r.i16()?;
                let protocol_type = r.str()??;
                let generation = r.i32()?;
                let protocol = r.str()?;
                let leader = r.str()?.map(|l| (&*l).into());
                let since = r.i64()?;
                let n = r.i32()?;
                let mut members = Vec::new();
                for _ in 0..n {
                    members.push(StoredMember {
                        id: (&*r.str()??).into(),
                        instance: r.str()?,
                        client_id: r.str()??,
                        client_host: r.str()??,
                        rebalance_timeout_ms: r.i32()?,
                        session_timeout_ms: r.i32()?,
                        subscription: r.bytes()?,
                        assignment: r.bytes()?,
                    });
                }
                let value = GroupValue {
                    protocol_type: Some(protocol_type).filter(|t| !t.is_empty()),
                    generation,
                    protocol,
                    leader,
                    since: Some(Timestamp(since)).filter(|t| t.0 >= 0),
                    members,
                };
                Some(Some(LogEntry::Group { group, value: Some(value) }))
            }
            _ => Some(None),
        }
    }
}
