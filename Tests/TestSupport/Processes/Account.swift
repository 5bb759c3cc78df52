import Glibc
import Posix

/// The user that a web server gives its programs to when root starts it, as Apache and lighttpd do.
package struct Account: Sendable {
    let name: String
    private let user: uid_t
    private let group: gid_t

    /// Debian's `www-data`, or else `nobody`; nil where this process is not root's: then servers run
    /// as its user.
    package static func ofWebServers() throws -> Account? {
        guard geteuid() == 0 else { return nil }
        for name in ["www-data", "nobody"] {
            if let entry = getpwnam(name) {
                return Account(
                    name: name, user: entry.pointee.pw_uid, group: entry.pointee.pw_gid)
            }
        }
        throw TestFailure("There is neither a user 'www-data' nor 'nobody'.")
    }

    /// The group's name, which is the user's in Debian, except for `nobody`.
    var groupName: String { name == "nobody" ? "nogroup" : name }

    /// Gives a temporary directory to the user, with all that is in it, and lets it be reached.
    package func give(_ path: String) throws {
        let chown = try Programs.find("chown", remedy: "apt install coreutils")
        try Command(chown, ["-R", "\(user):\(group)", path]).run().checked()
        try Self.open(path)
    }

    /// Lets other users pass through the directory that contains all temporary ones.
    package static func open(_ path: String) throws {
        guard let parent = Files.parent(of: path) else { return }
        if chmod(parent, 0o711) != 0 { throw SystemError("chmod", parent) }
    }

    /// A command line that runs a program as this user.
    func commandLine(
        _ program: String, _ arguments: [String]
    ) throws -> (program: String, arguments: [String]) {
        (
            try Programs.find("setpriv", remedy: "apt install util-linux"),
            ["--reuid=\(user)", "--regid=\(group)", "--clear-groups", "--", program] + arguments
        )
    }

    /// A copy of the program that this user can reach, wherever it was built.
    package static func program() throws -> String { try copy.get().program }

    private static let copy = Result {
        let copy = try ProgramCopy()
        try copy.open()
        return copy
    }
}
