import ObjectStore

/// A state that this process knows to be published, and what it knows of the states before it.
struct KnownChain: Sendable {
    /// The latest state.
    private(set) var tip: PushParent
    /// The digests of the tip and of its ancestors, as far as they were followed. nil is among them
    /// once that was to the first state, which had none before it.
    private var followed: Set<Digest?>
    /// How far that was.
    private var deepest: Deepest

    private enum Deepest {
        /// A state whose manifest is at hand.
        case read(Manifest)
        case unread(Digest)
        /// Nothing more is to be followed: the first state, or a tombstone. What lies before that
        /// is another repository, which was deleted.
        case end
    }

    /// A state of which nothing more is known.
    init(_ tip: PushParent) {
        self.tip = tip
        followed = [tip.digest]
        switch tip {
        case .published(let snapshot): deepest = .read(snapshot.manifest)
        case .nothing: deepest = .end
        }
    }

    /// Whether a state that is not known to be an ancestor is none.
    var isComplete: Bool { if case .end = deepest { true } else { false } }

    /// Whether a state is known to be the tip, or an ancestor of it.
    func includes(_ digest: Digest?) -> Bool { followed.contains(digest) }

    /// Takes a state that was published on top of the tip.
    mutating func advance(to snapshot: Snapshot) {
        tip = .published(snapshot)
        followed.insert(snapshot.digest)
    }

    /// Follows the ancestors until all of `digests` are found, or there are no more.
    ///
    /// - Parameter older: what was known before: it is not read again.
    /// - Throws: ``StoreError`` or ``RepositoryError`` when a manifest cannot be read.
    mutating func follow(
        downTo digests: [Digest?], by ancestry: Ancestry, joining older: KnownChain? = nil
    ) throws {
        var missing = Set(digests).subtracting(followed)
        for _ in 0..<Ancestry.bound {
            if missing.isEmpty { return }
            let manifest: Manifest
            switch deepest {
            case .end: return
            case .read(let known): manifest = known
            case .unread(let digest): manifest = try ancestry.manifest(digest)
            }
            guard manifest.kind == .live else {
                deepest = .end
                return
            }
            followed.insert(manifest.parent)
            deepest = manifest.parent.map(Deepest.unread) ?? .end
            if let older, older.tip.digest == manifest.parent {
                followed.formUnion(older.followed)
                deepest = older.deepest
            }
            missing.subtract(followed)
        }
    }
}
