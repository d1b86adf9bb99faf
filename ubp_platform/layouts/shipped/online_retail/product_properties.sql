SELECT StockCode AS sku, arg_max(UnitPrice, bought) AS price, arg_max(Description, bought) AS name
FROM (SELECT *, try_strptime(InvoiceDate, '%m/%d/%Y %H:%M') AS bought FROM invoices)
WHERE InvoiceNo NOT LIKE 'C%' AND TRY_CAST(Quantity AS BIGINT) > 0 AND StockCode <> 'POST'
GROUP BY StockCode
