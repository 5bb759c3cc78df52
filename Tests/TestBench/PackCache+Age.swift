package import Bytes
package import Cache
import Glibc

extension PackCache {
    /// Makes a cached pack one that was not used since the machine started.
    package func ageBeyondStart(_ digest: Digest) {
        let never = timespec(tv_sec: 0, tv_nsec: 0)
        utimensat(AT_FDCWD, base(of: digest) + ".idx", [never, never], AT_SYMLINK_NOFOLLOW)
    }
}
