package import ObjectStore

/// The repositories that a store has pointers of, in the byte order of their keys; those that were
/// deleted are among them, as their pointers stay.
///
/// It is read page by page while it is walked through, so that a store may hold any number. What is
/// created meanwhile may or may not be among them.
package struct RepositoryListing: Sendable {
    private let store: any ObjectStore
    private var page: ArraySlice<ListedObject> = []
    /// The key after which the next page begins; nil: at the first.
    private var last: String?
    private var isAtEnd = false

    /// Begins at the first; reads nothing yet.
    package init(of store: any ObjectStore) {
        self.store = store
    }

    /// The next repository; nil: there is no other.
    ///
    /// - Throws: ``StoreError`` where a page cannot be read. Asking again goes on from there.
    package mutating func next() throws(StoreError) -> RepositoryName? {
        while true {
            while let object = page.popFirst() {
                if let name = Self.repository(ofPointer: object.key) { return name }
            }
            if isAtEnd { return nil }
            let objects = try store.list(prefix: Self.prefix, startingAfter: last)
            page = objects[...]
            // A page may have fewer than it could; only one without any is the end.
            if let end = objects.last { last = end.key } else { isAtEnd = true }
        }
    }

    /// Does something with each repository.
    package static func forEach(
        in store: any ObjectStore, _ body: (RepositoryName) throws -> Void
    ) throws {
        var listing = RepositoryListing(of: store)
        while let name = try listing.next() { try body(name) }
    }

    private static let prefix = "repos/"

    /// The repository whose pointer has this key; nil: it is another object's.
    private static func repository(ofPointer key: String) -> RepositoryName? {
        let suffix = "/pointer"
        guard key.hasPrefix(prefix), key.hasSuffix(suffix),
            key.utf8.count > prefix.utf8.count + suffix.utf8.count
        else { return nil }
        let name = RepositoryName(String(key.dropFirst(prefix.count).dropLast(suffix.count)))
        guard let name, ObjectKey.pointer(of: name).path == key else { return nil }
        return name
    }
}
