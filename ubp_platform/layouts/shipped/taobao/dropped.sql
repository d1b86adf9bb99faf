SELECT 'marked as a favourite' FROM behaviour WHERE behavior = 'fav'
