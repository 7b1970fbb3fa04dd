//! Keys that Kafka does not have: all begin with `ringmain.`.

use super::ConfigKey;
use super::table::keys;

pub(super) static OWN_KEYS: &[ConfigKey] = keys! {
    "ringmain.cluster.id": String = none, Any, Medium, ReadOnly;
    "Cluster id of a data directory that is still empty: 22 characters of URL-safe base64. Drawn \
     at random if not given; must fit the directory if there is something in it.";
    "ringmain.cpus": List = "", Any, High, ReadOnly;
    "Cores for the shards, such as '2-5,8'. Empty: the first cores that the process may use.";
    "ringmain.journal.file.bytes": Long = "67108864", Between(33554432, 68719476736), Medium,
        ReadOnly;
    "Size of one journal file. A multiple of 4096. No record batch is larger than one.";
    "ringmain.journal.files": Int = "8", Between(2, 1024), Medium, ReadOnly;
    "Journal files of each shard. Together they bound how much a restart has to replay.";
    "ringmain.journal.path": String = none, Any, Medium, ReadOnly;
    "Directory of the journals, if not in the data directory: for a device of their own.";
    "ringmain.memory.tail.bytes": Long = "134217728", AtLeast(16777216), High, ReadOnly;
    "Memory of each shard for the newest records, from which consumers that keep up are served.";
    "ringmain.shards": Int = "0", Between(0, 1024), High, ReadOnly;
    "Number of shards, each with a core of its own. 0: as many as there are cores.";
};
