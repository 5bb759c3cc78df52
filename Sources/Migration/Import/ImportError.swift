package import ObjectStore

/// Why a repository is not imported; what was published before is as it was.
package enum ImportError: Error, CustomStringConvertible, Sendable {
    /// There is no repository, or git cannot read it as one.
    case notARepository(String, reason: String)
    /// Its history is cut off.
    case shallow(String)
    /// Some of its objects are left to another server.
    case partial(String)
    /// Objects or refs are missing or are not what they must be.
    case broken(String, reason: String)
    /// A ref that no server of ours could publish.
    case unsafeName(String, ref: String)
    /// HEAD names a commit.
    case detachedHead(String)
    /// HEAD names a ref that is no branch.
    case headElsewhere(String, ref: String)
    /// The objects are there but git's checks refuse them, as they would in a push.
    case refused(String, reason: String, message: String?)
    /// It is published already with the other kind of object names.
    case otherFormat(RepositoryName, published: String, source: String)
    /// Other writers were always first.
    case overtaken(RepositoryName, times: Int)

    package var description: String {
        switch self {
        case .notARepository(let path, let reason):
            "'\(path)' is not a git repository: \(reason)."
        case .shallow(let path):
            "'\(path)' is a shallow clone: the history that it lacks cannot be published. Fetch "
                + "it with 'git fetch --unshallow'."
        case .partial(let path):
            "'\(path)' is a partial clone: objects that it lacks cannot be published. Import a "
                + "full clone."
        case .broken(let path, let reason):
            "'\(path)' is broken: \(reason). Mend it; 'git fsck' shows what is wrong."
        case .unsafeName(let path, let ref):
            "'\(path)' has the ref '\(ref)', whose name cannot be published: it must be UTF-8 of "
                + "at most 1024 bytes. Rename it."
        case .detachedHead(let path):
            "The HEAD of '\(path)' is detached. Name the branch that it shall be with "
                + "--default-branch."
        case .headElsewhere(let path, let ref):
            "The HEAD of '\(path)' names '\(ref)', which is no branch. Name the branch that it "
                + "shall be with --default-branch."
        case .refused(let path, let reason, let message):
            "'\(path)' has an object that git's checks refuse: \(reason)."
                + (message.map { " To take such objects as they are, give --accept \($0)." } ?? "")
        case .otherFormat(let repository, let published, let source):
            "'\(repository)' is published with object format \(published), and the repository to "
                + "import has \(source). Import it under another name."
        case .overtaken(let repository, let times):
            "'\(repository)' was pushed to again and again while it was imported; \(times) attempts "
                + "were lost and changed nothing. Try again when it is quiet."
        }
    }
}
